//! The clock of a time zone, which is put forward and back.

use std::sync::LazyLock;

use jiff::{
    Timestamp, ToSpan as _,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

/// The zones that the binary holds.
///
/// Images have none, and tests are the same on every machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of an IANA name; without a name UTC.
///
/// # Errors
/// Returns a description of the error.
pub fn time_zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None => Ok(TimeZone::UTC),
        Some(name) => ZONES.get(name).map_err(|_| format!("unknown time zone: {name:?}")),
    }
}

/// The latest local time that the clock of `zone` has shown up to `at`.
///
/// It never decreases: while an hour is repeated it is the end of that hour.
pub(super) fn latest_shown(zone: &TimeZone, at: Timestamp) -> DateTime {
    let local = zone.to_datetime(at);
    let repeated = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Fold { before, after } if zone.to_offset(at) == after => Some(before),
        _ => None,
    };
    let end = repeated.and_then(|before| {
        // Transitions are found strictly before an instant.
        let put_back = zone.preceding(at.checked_add(1.nanosecond()).ok()?).next()?;
        before.to_datetime(put_back.timestamp()).checked_sub(1.nanosecond()).ok()
    });
    end.unwrap_or(local)
}

/// The instant at which the clock of `zone` first shows `local`, or passes it.
pub(super) fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset: shown }
        | AmbiguousOffset::Fold { before: shown, .. } => shown.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            let before_gap = after.to_timestamp(local).ok()?;
            Some(zone.following(before_gap).next()?.timestamp())
        }
    }
}
