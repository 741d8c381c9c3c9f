//! Schedules in the five fields of cron, on the clock of a time zone.
//!
//! ```text
//! instant ─ zone ─▶ local time ─ Schedule ─▶ local time of a firing ─ zone ─▶ instant
//! ```
//!
//! Fields, lists, ranges, steps and names are as in Vixie cron, and so are the two fields of days: where both
//! are restricted, either suffices. A local time that the clock skips fires at the next that it shows; one
//! that it shows twice fires once, at the first.
//!
//! The crates differ in that: croner 4 takes `*/2` for a restricted field of days, and names in any field;
//! cronexpr 1.7 never fires in a skipped hour and twice in a repeated one, and gives up after four years.

mod field;
mod zone;

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use field::Field;
pub use zone::time_zone;

/// Months that are searched for a firing.
///
/// A 29 February falls on the same weekday again after at most 40 years.
const MONTHS: usize = 41 * 12;

/// Names of schedules, as in Vixie cron.
const NAMES: [(&str, &str); 7] = [
    ("@annually", "0 0 1 1 *"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@midnight", "0 0 * * *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@yearly", "0 0 1 1 *"),
];

/// The local times at which something fires, with a bit for each value of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day of one of the two fields suffices.
    either_day: bool,
}

impl Schedule {
    /// Parses five fields, or a name such as `@daily`.
    ///
    /// # Errors
    /// Returns a description of the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name));
        let fields: Vec<_> = named.map_or(text, |(_, fields)| fields).split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("must have five fields, or be a name such as @daily: {text:?}"));
        };
        let is_restricted = |field: &str| !field.starts_with('*');
        let weekdays = Field::WEEKDAY.parse(weekday)?;
        let schedule = Self {
            minutes: Field::MINUTE.parse(minute)?,
            hours: Field::HOUR.parse(hour)?,
            days: Field::DAY.parse(day)?,
            months: Field::MONTH.parse(month)?,
            // 7 is Sunday as well.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: is_restricted(day) && is_restricted(weekday),
        };
        // From 2000 on, 29 February falls on each weekday within the search.
        match schedule.next_local(Date::constant(2000, 1, 1).at(0, 0, 0, 0)) {
            Some(_) => Ok(schedule),
            None => Err(format!("never fires: {text:?}")),
        }
    }

    /// The last firing up to `at`, included.
    #[must_use]
    pub fn last(&self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        zone::instant(zone, self.last_local(zone::latest_shown(zone, at))?)
    }

    /// The first firing after `after`.
    #[must_use]
    pub fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        zone::instant(zone, self.next_local(zone::latest_shown(zone, after))?)
    }

    /// The last local time up to `until` that matches.
    fn last_local(&self, until: DateTime) -> Option<DateTime> {
        let (hour, minute) = (until.hour(), until.minute());
        let this_hour = up_to(self.minutes, minute);
        let time = match contains(self.hours, hour).then(|| highest(this_hour)).flatten() {
            Some(minute) => Some((hour, minute)),
            None => highest(up_to(self.hours, hour - 1)).zip(highest(self.minutes)),
        };
        let (mut month, mut day) = (until.date().first_of_month(), until.day());
        if let Some((hour, minute)) = time.filter(|_| contains(self.days_of(month), day)) {
            return Some(until.date().at(hour, minute, 0, 0));
        }
        day -= 1;
        for _ in 0..MONTHS {
            if let Some(day) = highest(up_to(self.days_of(month), day)) {
                let (hour, minute) = highest(self.hours).zip(highest(self.minutes))?;
                return Some(
                    Date::new(month.year(), month.month(), day).ok()?.at(hour, minute, 0, 0),
                );
            }
            month = month.yesterday().ok()?.first_of_month();
            day = month.days_in_month();
        }
        None
    }

    /// The first local time after `after` that matches.
    fn next_local(&self, after: DateTime) -> Option<DateTime> {
        let from = after.checked_add(1.minute()).ok()?;
        let (hour, minute) = (from.hour(), from.minute());
        let this_hour = starting_at(self.minutes, minute);
        let time = match contains(self.hours, hour).then(|| lowest(this_hour)).flatten() {
            Some(minute) => Some((hour, minute)),
            None => lowest(starting_at(self.hours, hour + 1)).zip(lowest(self.minutes)),
        };
        let (mut month, mut day) = (from.date().first_of_month(), from.day());
        if let Some((hour, minute)) = time.filter(|_| contains(self.days_of(month), day)) {
            return Some(from.date().at(hour, minute, 0, 0));
        }
        day += 1;
        for _ in 0..MONTHS {
            if let Some(day) = lowest(starting_at(self.days_of(month), day)) {
                let (hour, minute) = lowest(self.hours).zip(lowest(self.minutes))?;
                return Some(
                    Date::new(month.year(), month.month(), day).ok()?.at(hour, minute, 0, 0),
                );
            }
            month = month.last_of_month().tomorrow().ok()?;
            day = 1;
        }
        None
    }

    /// The days that match in the month that begins on `first`.
    fn days_of(&self, first: Date) -> u64 {
        if !contains(self.months, first.month()) {
            return 0;
        }
        // The weekdays from that of the first on, for five weeks.
        let weekday = first.weekday().to_sunday_zero_offset();
        let week = (self.weekdays >> weekday | self.weekdays << (7 - weekday)) & 0x7f;
        let by_weekday = (0..5).fold(0, |days, number| days | week << (7 * number)) << 1;
        let days = match self.either_day {
            true => self.days | by_weekday,
            false => self.days & by_weekday,
        };
        up_to(days, first.days_in_month())
    }
}

fn contains(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

/// The values from `value` on.
fn starting_at(bits: u64, value: i8) -> u64 {
    bits & u64::MAX << value
}

/// The values up to `value`, which is at least -1.
fn up_to(bits: u64, value: i8) -> u64 {
    bits & !(u64::MAX << (value + 1))
}

fn lowest(bits: u64) -> Option<i8> {
    i8::try_from(bits.trailing_zeros()).ok().filter(|_| bits != 0)
}

fn highest(bits: u64) -> Option<i8> {
    i8::try_from(bits.checked_ilog2()?).ok()
}

#[cfg(test)]
mod tests;
