//! What takes the place of registries and packages where there are none.
//!
//! Where a registry answers, images are pulled and programs found on `PATH`; this is where they come from
//! elsewhere: Go modules, Debian packages, and a Docker daemon that is started here. A newcomer need not read
//! it.

pub(crate) mod capabilities;
pub(crate) mod control_plane;
pub(crate) mod docker;
pub(crate) mod node_image;
pub(crate) mod provision;
