//! Installs that are not the plain one, and the way back.

pub(crate) mod namespaced;
pub(crate) mod release;
pub(crate) mod tour;
pub(crate) mod uninstall;
