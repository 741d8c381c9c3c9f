//! Quantities of resources, such as `100m` and `64Mi`, as Kubernetes parses them.

/// The error of a text that is no quantity, in the words of `resource.ParseQuantity`.
pub(super) const PATTERN: &str = "quantities must match the regular expression \
                                  '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Decimal suffixes and their exponents of ten, the largest first.
const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];

/// Binary suffixes and their exponents of two, the largest first.
const BINARY: [(&str, u32); 6] =
    [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];

/// Exponent of the smallest part that a quantity keeps; Kubernetes rounds up to it.
const SMALLEST: i32 = -9;

/// A quantity: `digits` × 10^`ten` × 2^`two`.
struct Quantity<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    ten: i32,
    two: u32,
}

/// Whether Kubernetes takes `text` for a quantity.
pub(super) fn is_valid(text: &str) -> bool {
    parse(text).is_some()
}

/// The text that equal quantities share; `text` itself if it is none or too large.
pub(super) fn canonical(text: &str) -> String {
    parse(text).as_ref().and_then(nanos).map_or_else(|| text.to_owned(), format)
}

fn parse(text: &str) -> Option<Quantity<'_>> {
    // The API server trims the value of the field, too.
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    let decimal = DECIMAL.iter().find(|(name, _)| *name == suffix).map(|(_, ten)| (*ten, 0));
    let binary = BINARY.iter().find(|(name, _)| *name == suffix).map(|(_, two)| (0, *two));
    let exponent = || Some((suffix.strip_prefix(['e', 'E'])?.parse().ok()?, 0));
    let (ten, two) = decimal.or(binary).or_else(exponent)?;
    Some(Quantity { is_negative: text.starts_with('-'), whole, fraction, ten, two })
}

/// The digits at the beginning of `text`, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The value in billionths, rounded away from zero; `None` if it is too large.
fn nanos(quantity: &Quantity<'_>) -> Option<i128> {
    let digits = format!("0{}{}", quantity.whole, quantity.fraction.trim_end_matches('0'));
    let dropped = quantity.fraction.trim_end_matches('0').len();
    let value = digits.parse::<i128>().ok()?.checked_mul(1 << quantity.two)?;
    let exponent = quantity.ten.checked_sub(i32::try_from(dropped).ok()?)?.checked_sub(SMALLEST)?;
    let value = match u32::try_from(exponent) {
        Ok(exponent) if value != 0 => value.checked_mul(10_i128.checked_pow(exponent)?)?,
        Ok(_) => 0,
        Err(_) => {
            let divisor = 10_i128.checked_pow(exponent.unsigned_abs())?;
            value / divisor + i128::from(value % divisor != 0)
        }
    };
    Some(if quantity.is_negative { -value } else { value })
}

/// Binary where that is shorter than bytes, else decimal, with the largest suffix.
fn format(nanos: i128) -> String {
    let units = nanos / 1_000_000_000;
    let fits = |(_, two): &&(&str, u32)| units % (1 << two) == 0;
    if nanos == 0 {
        return "0".to_owned();
    }
    if nanos % 1_000_000_000 == 0
        && let Some((suffix, two)) = BINARY.iter().find(fits)
    {
        return format!("{}{suffix}", units >> two);
    }
    let scale = |ten: i32| 10_i128.pow((ten - SMALLEST).unsigned_abs());
    let decimal = DECIMAL.iter().find(|(_, ten)| nanos % scale(*ten) == 0);
    decimal.map_or_else(String::new, |(suffix, ten)| format!("{}{suffix}", nanos / scale(*ten)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_takes_is_a_quantity_and_nothing_else() {
        for text in [
            "0",
            "1",
            "100m",
            "1.5",
            ".5",
            "1.",
            "64Mi",
            "64M",
            "1e3",
            "1E3",
            "1e-3",
            "12E",
            "+1",
            "-1",
            "0.1m",
            "1k",
            "5n",
            "7u",
            "1000000000000000000000000000000000000000000",
            " 1 ",
            "1.5Gi",
            "007",
        ] {
            assert!(is_valid(text), "{text:?}");
        }
        for text in [
            "", " ", "64MB", "6GiB", "1,5", "100 m", "1K", "1kb", "1mi", "0x10", "1e", "1e1.5",
            "--1", "1.5.1", "half", "1 Gi", "10%", "1_000", "1Mi1", "NaN", "∞", "１",
        ] {
            assert!(!is_valid(text), "{text:?}");
        }
    }

    #[test]
    fn equal_quantities_have_one_text() {
        for (texts, expected) in [
            (&["1000m", "1", "1.0", "+1", "1e0", "1000000u", "01"][..], "1"),
            (&["100m", "0.1", ".1", "1e-1", "100e-3"], "100m"),
            (&["1Gi", "1024Mi", "1048576Ki", "1073741824"], "1Gi"),
            (&["64M", "64000k", "64e6", "64000000"], "62500Ki"),
            (&["0", "0m", "0Gi", "-0", "0.000"], "0"),
            (&["1.5", "1500m"], "1500m"),
            (&["0.1n", "1n"], "1n"),
            (&["-500m", "-0.5"], "-500m"),
            (&["1k", "1000"], "1k"),
        ] {
            for text in texts {
                assert_eq!(canonical(text), expected, "{text}");
            }
        }
        for text in ["64MB", "", "1e99", "99999999999999999999999999999999999999999"] {
            assert_eq!(canonical(text), text);
        }
        assert_ne!(canonical("64M"), canonical("64Mi"));
    }
}
