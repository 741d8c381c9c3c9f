use jiff::{SignedDuration, civil::date};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Time zones whose clocks change by 30 minutes, an hour, two hours, or a whole day.
const ZONES: [&str; 10] = [
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "UTC",
];

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn zone(name: &str) -> TimeZone {
    time_zone(Some(name)).unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The next firings after `after`, in UTC.
fn firings(schedule: &str, zone_name: &str, after: &str, number: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(schedule).unwrap(), zone(zone_name));
    let next = |last: &Timestamp| schedule.next(&zone, *last);
    let firings = std::iter::successors(next(&at(after)), next);
    firings.take(number).map(|firing| firing.to_string()).collect()
}

/// An item of a list in a field: its text, and the values that it stands for.
fn item(first: u8, last: u8) -> impl Strategy<Value = (String, Vec<u8>)> {
    prop_oneof![
        (first..=last).prop_map(|value| (value.to_string(), vec![value])),
        (first..=last, first..=last).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), (a..=b).collect())
        }),
        (first..=last, first..=last, 1..20_u8).prop_map(|(a, b, step)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}/{step}"), (a..=b).step_by(step.into()).collect())
        }),
        (first..=last, 1..20_u8).prop_map(move |(a, step)| {
            (format!("{a}/{step}"), (a..=last).step_by(step.into()).collect())
        }),
        (1..20_u8).prop_map(move |step| {
            (format!("*/{step}"), (first..=last).step_by(step.into()).collect())
        }),
        Just(("*".to_owned(), (first..=last).collect())),
    ]
}

/// A field: its text, and the values that it stands for.
fn field(first: u8, last: u8) -> impl Strategy<Value = (String, Vec<u8>)> {
    let any = Just(("*".to_owned(), (first..=last).collect::<Vec<_>>()));
    let list = vec(item(first, last), 1..4).prop_map(|items| {
        let (texts, values): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        (texts.join(","), values.concat())
    });
    prop_oneof![1 => any, 3 => list]
}

/// The twin of a schedule: the values of its fields, tried one by one.
#[derive(Clone, Debug)]
struct Twin {
    text: String,
    fields: [Vec<u8>; 5],
    either_day: bool,
}

impl Twin {
    fn matches_day(&self, day: Date) -> bool {
        let [_, _, days, months, weekdays] = &self.fields;
        let has = |values: &[u8], value: i8| values.iter().any(|it| i8::try_from(*it) == Ok(value));
        let by_day = has(days, day.day());
        let by_weekday = has(weekdays, day.weekday().to_sunday_zero_offset());
        let is_day = if self.either_day { by_day || by_weekday } else { by_day && by_weekday };
        has(months, day.month()) && is_day
    }

    fn matches(&self, time: DateTime) -> bool {
        let [minutes, hours, ..] = &self.fields;
        let has = |values: &[u8], value: i8| values.iter().any(|it| i8::try_from(*it) == Ok(value));
        has(minutes, time.minute()) && has(hours, time.hour()) && self.matches_day(time.date())
    }

    /// The firings within so many minutes, by looking at the clock every minute.
    ///
    /// A minute that the clock shows for the first time fires, and so do those that it has skipped.
    fn firings(&self, zone: &TimeZone, start: Timestamp, minutes: usize) -> Vec<Timestamp> {
        // A day before, so that the clock is not in the middle of a repeated hour.
        let mut shown = zone.to_datetime(start - SignedDuration::from_hours(48));
        let mut firings = Vec::new();
        let mut now = start - SignedDuration::from_hours(48);
        for _ in 0..minutes + 48 * 60 {
            let local = zone.to_datetime(now);
            let mut fires = false;
            while shown < local {
                shown = shown.checked_add(MINUTE).unwrap();
                fires |= self.matches(shown);
            }
            if fires && now >= start {
                firings.push(now);
            }
            now += MINUTE;
        }
        firings
    }
}

fn twin() -> impl Strategy<Value = Twin> {
    let fields = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6));
    fields.prop_map(|(minute, hour, day, month, weekday)| {
        let either_day = !day.0.starts_with('*') && !weekday.0.starts_with('*');
        let texts = [&minute.0, &hour.0, &day.0, &month.0, &weekday.0].map(String::as_str);
        let text = texts.join(" ");
        Twin { text, fields: [minute.1, hour.1, day.1, month.1, weekday.1], either_day }
    })
}

/// A time zone, and a time within a day of a change of its clock, if it has any.
fn near_a_change() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let start = date(2008, 1, 1).at(0, 0, 0, 0).in_tz("UTC");
    let start = start.unwrap().timestamp();
    (select(&ZONES[..]), 0..30 * 365 * 24_i64, -24..24_i64).prop_map(
        move |(name, hours, offset)| {
            let any = start + SignedDuration::from_hours(hours);
            let change = zone(name).following(any).next().map(|it| it.timestamp());
            // Berlin's clock, for example, changes within half a year; others do so no more.
            let soon = change
                .filter(|change| change.duration_since(any) < SignedDuration::from_hours(9000));
            (name, soon.unwrap_or(any) + SignedDuration::from_hours(offset))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn firings_around_changes_of_the_clock_are_those_of_the_twin(
        twin in twin(),
        (name, start) in near_a_change(),
    ) {
        let Ok(schedule) = Schedule::parse(&twin.text) else {
            prop_assert!(Schedule::parse(&twin.text).unwrap_err().starts_with("never fires"));
            return Ok(());
        };
        let zone = zone(name);
        let minutes = 48 * 60;
        let expected = twin.firings(&zone, start, minutes);
        let end = start + MINUTE * i32::try_from(minutes).unwrap();
        let mut found = Vec::new();
        let mut now = start - SignedDuration::from_nanos(1);
        while let Some(next) = schedule.next(&zone, now).filter(|next| *next < end) {
            found.push(next);
            now = next;
        }
        prop_assert_eq!(&found, &expected, "{} in {} from {}", twin.text, name, start);
        // The same, seen from every minute in between.
        let mut last = None;
        for number in 0..minutes {
            let now = start + MINUTE * i32::try_from(number).unwrap();
            last = expected.binary_search(&now).ok().map(|_| now).or(last);
            for now in [now, now + SignedDuration::from_secs(59)] {
                let found = schedule.last(&zone, now).filter(|found| *found >= start);
                prop_assert_eq!(found, last, "{} in {} at {}", twin.text, name, now);
            }
        }
    }

    #[test]
    fn days_of_many_years_are_those_of_the_twin(twin in twin(), year in 1995..2095_i16) {
        let Ok(schedule) = Schedule::parse(&twin.text) else { return Ok(()) };
        let (start, end) = (date(year, 1, 1), date(year + 6, 1, 1));
        let days = start.series(1.day()).take_while(|day| *day < end);
        let expected: Vec<_> = days.filter(|day| twin.matches_day(*day)).collect();
        let midnight = |day: Date| day.at(0, 0, 0, 0);
        let mut forth = Vec::new();
        let mut now = midnight(start).checked_sub(MINUTE).unwrap();
        while let Some(next) = schedule.next_local(now).filter(|next| next.date() < end) {
            forth.push(next.date());
            now = next.date().at(23, 59, 0, 0);
        }
        prop_assert_eq!(&forth, &expected, "{}", twin.text);
        let mut back = Vec::new();
        let mut now = midnight(end).checked_sub(MINUTE).unwrap();
        while let Some(last) = schedule.last_local(now).filter(|last| last.date() >= start) {
            back.push(last.date());
            now = midnight(last.date()).checked_sub(MINUTE).unwrap();
        }
        back.reverse();
        prop_assert_eq!(&back, &expected, "{}", twin.text);
    }

    #[test]
    fn nothing_that_is_written_makes_it_panic(text in "[ -~]{0,40}", now: i64) {
        let now = Timestamp::from_second(now % 377_705_023_201).unwrap_or_default();
        if let Ok(schedule) = Schedule::parse(&text) {
            let _ = (schedule.last(&TimeZone::UTC, now), schedule.next(&TimeZone::UTC, now));
        }
    }
}

#[test]
fn a_local_time_that_does_not_exist_fires_at_the_next_that_does() {
    // The clock goes from 02:00 to 03:00 at 01:00 UTC.
    assert_eq!(
        firings("30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        firings("*/20 2 29 3 *", "Europe/Berlin", "2026-03-01T00:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2027-03-29T00:00:00Z"],
        "three such times fire once"
    );
    // 30 December 2011 was left out.
    assert_eq!(
        firings("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2),
        ["2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"]
    );
}

#[test]
fn a_local_time_that_comes_twice_fires_once() {
    // The clock goes from 03:00 back to 02:00 at 01:00 UTC.
    assert_eq!(
        firings("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        firings("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
        ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
    );
    let (half_past, berlin) = (Schedule::parse("30 2 * * *").unwrap(), zone("Europe/Berlin"));
    // 02:10, for the second time.
    let last = half_past.last(&berlin, at("2026-10-25T01:10:00Z"));
    assert_eq!(last, Some(at("2026-10-25T00:30:00Z")));
}

#[test]
fn days_of_month_and_week_are_as_in_vixie_cron() {
    // From Thursday, 1 January.
    let days = |schedule: &str| -> Vec<_> {
        let firings = firings(schedule, "UTC", "2025-12-31T23:59:00Z", 4);
        firings.iter().map(|firing| firing[5..10].to_owned()).collect()
    };
    assert_eq!(days("0 0 13 * 5"), ["01-02", "01-09", "01-13", "01-16"], "either");
    assert_eq!(days("0 0 13 * *"), ["01-13", "02-13", "03-13", "04-13"]);
    assert_eq!(days("0 0 * * 5"), ["01-02", "01-09", "01-16", "01-23"]);
    assert_eq!(days("0 0 */2 * 5"), ["01-09", "01-23", "02-13", "02-27"], "both");
    assert_eq!(days("0 0 1-7 * */5"), ["01-02", "01-04", "02-01", "02-06"], "both");
    assert_eq!(days("0 0 31 2-4 *"), ["03-31", "03-31", "03-31", "03-31"]);
}

#[test]
fn fields_have_names_lists_ranges_and_steps() {
    for (text, same) in [
        ("@hourly", "0 * * * *"),
        (" @Daily ", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0  0\t1 1 *"),
        ("0 0 * jan,Jun-AUG mon-fri", "0 0 * 1,6,7,8 1,2,3,4,5"),
        ("0 0 * * 7", "0 0 * * sun"),
        ("0 0 * * fri-sun", "0 0 * * 5-7"),
        ("0 0 * * sun-tue", "0 0 * * 0-2"),
        ("0 0 * * sun-sun", "0 0 * * 0"),
        ("0-0 00 * * *", "0 0 * * *"),
        ("5/20 */6 * * *", "5,25,45 0,6,12,18 * * *"),
        ("1-10/3 */200 * * *", "1,4,7,10 0 * * *"),
        ("*,5 * * * *", "* * * * *"),
    ] {
        assert_eq!(Schedule::parse(text), Schedule::parse(same), "{text}");
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_bad_field_is_named() {
    for (text, message) in [
        ("", "must have five fields, or be a name such as @daily: \"\""),
        ("* * * *", "must have five fields, or be a name such as @daily: \"* * * *\""),
        ("0 0 * * * *", "must have five fields, or be a name such as @daily: \"0 0 * * * *\""),
        ("@reboot", "must have five fields, or be a name such as @daily: \"@reboot\""),
        ("60 0 * * *", "the minute must be 0 to 59: \"60\""),
        ("+1 0 * * *", "the minute must be 0 to 59: \"+1\""),
        ("-1 0 * * *", "the minute must be 0 to 59: \"-1\""),
        ("0 24 * * *", "the hour must be 0 to 23: \"24\""),
        ("0 5-2 * * *", "the hour must be 0 to 23: \"5-2\""),
        ("0 0 0 * *", "the day of the month must be 1 to 31: \"0\""),
        ("0 0 L * *", "the day of the month must be 1 to 31: \"L\""),
        ("0 0 ? * *", "the day of the month must be 1 to 31: \"?\""),
        ("0 0 * 13 *", "the month must be 1 to 12 or jan to dec: \"13\""),
        ("0 0 * mon *", "the month must be 1 to 12 or jan to dec: \"mon\""),
        ("0 0 * * 8", "the day of the week must be 0 to 7 or sun to sat: \"8\""),
        ("0 0 * * 1,,2", "the day of the week must be 0 to 7 or sun to sat: \"1,,2\""),
        ("*/0 * * * *", "the minute must be 0 to 59: \"*/0\""),
        ("1-5-7 * * * *", "the minute must be 0 to 59: \"1-5-7\""),
        ("0 0 30 2 *", "never fires: \"0 0 30 2 *\""),
    ] {
        assert_eq!(Schedule::parse(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn the_rarest_day_is_found_from_both_sides() {
    // A 29 February that is a Monday, across 2100, which is no leap year.
    assert_eq!(firings("0 0 29 2 */1", "UTC", "2096-03-01T00:00:00Z", 1), ["2104-02-29T00:00:00Z"]);
    let rare = Schedule::parse("0 0 */28 2 1").unwrap();
    let seen = rare.next(&TimeZone::UTC, at("2072-03-01T00:00:00Z")).unwrap();
    assert_eq!(rare.last(&TimeZone::UTC, seen), Some(seen));
    assert_eq!(
        rare.last(&TimeZone::UTC, seen - MINUTE),
        rare.last(&TimeZone::UTC, at("2072-03-01T00:00:00Z"))
    );
}

#[test]
fn time_zones_are_those_of_the_binary() {
    assert_eq!(time_zone(None), Ok(TimeZone::UTC));
    assert!(time_zone(Some("Europe/Berlin")).is_ok());
    for name in ["", "Europe/Berln", "Local", "../etc/passwd", "Europe/Berlin "] {
        assert_eq!(time_zone(Some(name)), Err(format!("unknown time zone: {name:?}")));
    }
}
