//! Number of nodes that may be at work at once.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Error of a number of nodes at work.
pub(super) const MESSAGE: &str = "must be a number from 0, or per cent from 0% to 100%";

/// The rule of the schema, which accepts what [`Parallelism::parse`] does.
pub(super) const RULE: &str = "type(self) == int ? self >= 0 && self <= 2147483647 \
                               : self.matches('^(100|[1-9]?[0-9])%$')";

/// Number of nodes that may be at work at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parallelism {
    /// So many nodes.
    Nodes(u32),
    /// So much per cent of the wanted nodes.
    PerCent(u8),
}

impl Parallelism {
    /// Parses a number, or per cent such as `10%`.
    ///
    /// # Errors
    /// Returns a description of the error.
    pub fn parse(value: &IntOrString) -> Result<Self, String> {
        match value {
            IntOrString::Int(nodes) => {
                u32::try_from(*nodes).map(Self::Nodes).map_err(|_| format!("{MESSAGE}: {nodes}"))
            }
            IntOrString::String(text) => {
                per_cent(text).map(Self::PerCent).ok_or_else(|| format!("{MESSAGE}: {text:?}"))
            }
        }
    }

    /// Number of nodes at work at once if `wanted` are wanted; per cent are rounded up.
    #[must_use]
    pub fn limit(self, wanted: usize) -> usize {
        match self {
            Self::Nodes(nodes) => usize::try_from(nodes).unwrap_or(usize::MAX),
            Self::PerCent(per_cent) => wanted.saturating_mul(per_cent.into()).div_ceil(100),
        }
    }
}

/// The number before the `%`, as the schema accepts it.
///
/// It has no sign, space or leading zero.
fn per_cent(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%')?;
    let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|number| is_plain && *number <= 100)
}

/// The schema of a number or per cent; its rule is on the field.
///
/// kube would allow null if the schema did not say otherwise.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "nullable": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(nodes: i32) -> Result<Parallelism, String> {
        Parallelism::parse(&IntOrString::Int(nodes))
    }

    fn text(text: &str) -> Result<Parallelism, String> {
        Parallelism::parse(&IntOrString::String(text.to_owned()))
    }

    #[test]
    fn a_number_or_per_cent_is_taken_and_nothing_else() {
        assert_eq!(number(0), Ok(Parallelism::Nodes(0)));
        assert_eq!(number(i32::MAX), Ok(Parallelism::Nodes(2_147_483_647)));
        for per_cent in [0, 7, 10, 100] {
            assert_eq!(text(&format!("{per_cent}%")), Ok(Parallelism::PerCent(per_cent)));
        }
        let odd = ["", "%", "5", "-1%", "+5%", "05%", "00%", "101%", "256%", "1.5%", " 5%", "5 %"];
        for odd in odd {
            assert_eq!(text(odd), Err(format!("{MESSAGE}: {odd:?}")));
        }
        assert_eq!(number(-1), Err(format!("{MESSAGE}: -1")));
    }

    #[test]
    fn per_cent_of_the_wanted_nodes_are_rounded_up() {
        let limits = |limit: Parallelism| [0, 1, 9, 10, 11, 5000].map(|wanted| limit.limit(wanted));
        assert_eq!(limits(Parallelism::PerCent(10)), [0, 1, 1, 1, 2, 500]);
        assert_eq!(limits(Parallelism::PerCent(0)), [0; 6]);
        assert_eq!(limits(Parallelism::PerCent(100)), [0, 1, 9, 10, 11, 5000]);
        assert_eq!(limits(Parallelism::Nodes(3)), [3; 6]);
        assert_eq!(Parallelism::PerCent(100).limit(usize::MAX), usize::MAX.div_ceil(100));
    }
}
