//! Windows of time in which nodes are started.

use api::job::{
    Window,
    schedule::{Schedule, time_zone},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// Whether nodes may be started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Windows {
    /// A window is open, or there are none.
    Open {
        /// When the last of the windows closes that are open now.
        ///
        /// Another one may have opened by then.
        until: Option<Timestamp>,
    },
    /// No window is open.
    Closed {
        /// When the next one opens; none ever does.
        until: Option<Timestamp>,
    },
}

/// Whether one of `windows` is open at `now`.
///
/// A window is open if its schedule last fired less than its duration ago. That takes microseconds, schedules
/// parsed anew included. A schedule that cannot be parsed never fires: the spec is invalid then.
pub(crate) fn windows(windows: &[Window], now: Timestamp) -> Windows {
    if windows.is_empty() {
        return Windows::Open { until: None };
    }
    let parsed: Vec<_> = windows.iter().filter_map(parse).collect();
    let closings = parsed.iter().filter_map(|(schedule, zone, duration)| {
        let opened = schedule.last(zone, now)?;
        let closes = opened.checked_add(*duration).unwrap_or(Timestamp::MAX);
        (now < closes).then_some(closes)
    });
    match closings.max() {
        Some(closes) => Windows::Open { until: Some(closes) },
        None => {
            let openings = parsed.iter().filter_map(|(schedule, zone, _)| schedule.next(zone, now));
            Windows::Closed { until: openings.min() }
        }
    }
}

fn parse(window: &Window) -> Option<(Schedule, TimeZone, SignedDuration)> {
    let schedule = Schedule::parse(&window.schedule).ok()?;
    let zone = time_zone(window.time_zone.as_deref()).ok()?;
    Some((schedule, zone, SignedDuration::from_secs(window.duration_seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(schedule: &str, duration_seconds: i64, time_zone: Option<&str>) -> Window {
        let time_zone = time_zone.map(str::to_owned);
        Window { schedule: schedule.to_owned(), duration_seconds, time_zone }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn open(until: &str) -> Windows {
        Windows::Open { until: Some(at(until)) }
    }

    fn closed(until: &str) -> Windows {
        Windows::Closed { until: Some(at(until)) }
    }

    #[test]
    fn without_windows_nodes_are_started_at_any_time() {
        assert_eq!(windows(&[], Timestamp::UNIX_EPOCH), Windows::Open { until: None });
    }

    #[test]
    fn a_window_is_open_from_its_firing_until_its_duration_is_over() {
        // From 22:00 to 02:00 in Berlin, on workdays: in winter from 21:00 to 01:00 UTC.
        let night = [window("0 22 * * 1-5", 14400, Some("Europe/Berlin"))];
        for (now, expected) in [
            ("2026-01-09T20:59:59.999Z", closed("2026-01-09T21:00:00Z")),
            ("2026-01-09T21:00:00Z", open("2026-01-10T01:00:00Z")),
            ("2026-01-10T00:59:59.999Z", open("2026-01-10T01:00:00Z")),
            // It is Saturday, and the next workday is Monday.
            ("2026-01-10T01:00:00Z", closed("2026-01-12T21:00:00Z")),
            ("2026-07-10T19:59:00Z", closed("2026-07-10T20:00:00Z")),
        ] {
            assert_eq!(windows(&night, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn one_open_window_suffices_and_the_first_to_open_is_waited_for() {
        let both = [window("0 6 * * *", 3600, None), window("30 6 * * *", 7200, None)];
        for (now, expected) in [
            ("2026-01-09T06:10:00Z", open("2026-01-09T07:00:00Z")),
            ("2026-01-09T06:30:00Z", open("2026-01-09T08:30:00Z")),
            ("2026-01-09T08:30:00Z", closed("2026-01-10T06:00:00Z")),
        ] {
            assert_eq!(windows(&both, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn windows_that_touch_are_open_without_end() {
        let hourly = [window("@hourly", 3600, None)];
        let now = at("2026-01-09T06:59:59Z");
        assert_eq!(windows(&hourly, now), open("2026-01-09T07:00:00Z"));
        assert_eq!(windows(&hourly, at("2026-01-09T07:00:00Z")), open("2026-01-09T08:00:00Z"));
        let for_ever = [window("@yearly", i64::MAX, None)];
        assert_eq!(windows(&for_ever, now), Windows::Open { until: Some(Timestamp::MAX) });
    }

    #[test]
    fn a_window_that_cannot_be_read_is_closed() {
        let bad = [window("@never", 60, None), window("@daily", 60, Some("Moon/Base"))];
        assert_eq!(windows(&bad, Timestamp::UNIX_EPOCH), Windows::Closed { until: None });
    }
}
