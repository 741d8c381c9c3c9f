//! Digests of contents.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes in 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// A hash of a sequence of inputs and their borders.
#[derive(Clone, Debug)]
pub(crate) struct Hash(Sha256);

impl Hash {
    pub(crate) fn of(inputs: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        inputs.into_iter().fold(Self(Sha256::new()), |hash, input| hash.and(input))
    }

    #[must_use]
    pub(crate) fn and(&self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        let mut hash = self.0.clone();
        // The length keeps one input's end from passing for the next one's start.
        hash.update(input.len().to_le_bytes());
        hash.update(input);
        Self(hash)
    }

    /// Its first 12 hexadecimal digits.
    pub(crate) fn short(&self) -> String {
        hexadecimal(&self.0.clone().finalize()[..6])
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_depends_on_every_input_and_its_borders() {
        let hash = |inputs: &[&str]| Hash::of(inputs).short();
        assert_eq!(hash(&["a", "b"]).len(), 12);
        assert_ne!(hash(&["a", "b"]), hash(&["a", "c"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
    }
}
