//! The fields of a schedule.

/// A field, by the values that it may have.
pub(super) struct Field {
    name: &'static str,
    /// The values that `*` stands for.
    first: u8,
    last: u8,
    /// The highest value.
    top: u8,
    /// Names of the values from `first` on.
    names: &'static [&'static str],
}

impl Field {
    pub(super) const MINUTE: Self = Self::new("minute", 0, 59);
    pub(super) const HOUR: Self = Self::new("hour", 0, 23);
    pub(super) const DAY: Self = Self::new("day of the month", 1, 31);
    pub(super) const MONTH: Self = Self {
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        ..Self::new("month", 1, 12)
    };
    /// 0 and 7 are Sunday.
    pub(super) const WEEKDAY: Self = Self {
        top: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        ..Self::new("day of the week", 0, 6)
    };

    const fn new(name: &'static str, first: u8, last: u8) -> Self {
        Self { name, first, last, top: last, names: &[] }
    }

    /// Parses a list of values, ranges and steps into a bit for each value.
    pub(super) fn parse(&self, text: &str) -> Result<u64, String> {
        let values =
            text.split(',').try_fold(0, |values, item| Some(values | self.parse_item(item)?));
        values.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            format!("the {} must be {} to {}{names}: {text:?}", self.name, self.first, self.top)
        })
    }

    /// Parses `*`, `2`, `2-6`, `*/2`, `2-6/2`, or `2/2`, which goes to the last value.
    fn parse_item(&self, item: &str) -> Option<u64> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                // A range of weekdays may end on Sunday, by its name.
                (first, if last == 0 && first > 0 { self.top } else { last })
            }
            None => {
                let value = self.value(range)?;
                (value, if step.is_some() { self.last.max(value) } else { value })
            }
        };
        let values = (first <= last).then(|| (first..=last).step_by(step.unwrap_or(1).into()))?;
        Some(values.fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let named =
            named.and_then(|index| u8::try_from(index).ok()).map(|index| index + self.first);
        named.or_else(|| number(text)).filter(|value| (self.first..=self.top).contains(value))
    }
}

/// A number without a sign.
fn number(text: &str) -> Option<u8> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
