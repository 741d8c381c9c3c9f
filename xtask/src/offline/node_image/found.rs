//! Node images that Docker has.

/// An image that kind can make nodes of; Docker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name, as `kind create cluster --image` takes it.
    pub(super) reference: String,
    /// The version of Kubernetes in it, for example `v1.34.0`.
    pub(super) kubernetes_version: String,
    /// Where it came from.
    pub(super) origin: Origin,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From a registry.
    Pulled,
    /// Built here.
    Built,
}
