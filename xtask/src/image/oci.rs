//! OCI image layouts, as files that registries, containerd and other programs read.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::digest::sha256;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Something that is called by its digest.
#[derive(Debug)]
pub(crate) struct Blob {
    media_type: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(crate) digest: String,
}

impl Blob {
    pub(crate) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", sha256(&bytes));
        Self { media_type, bytes, digest }
    }

    pub(crate) fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    /// A manifest, to which more may be added.
    pub(crate) fn manifest(config: &Self, layer: &Self) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        })
    }

    pub(super) fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// Name and tag of the root of a layout, as annotations of its descriptor.
pub(super) fn named(mut descriptor: Value, reference: &str) -> Value {
    descriptor["annotations"] = json!({
        "io.containerd.image.name": harness::images::full_name(reference),
        "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
    });
    descriptor
}

/// Puts a layout together of `root`, named `reference`, and its blobs.
pub(crate) fn layout(
    reference: &str,
    root: &Blob,
    blobs: &[&Blob],
    created: u64,
) -> Result<Vec<u8>> {
    let mut folder = Folder::new(created);
    add_layout(
        &mut folder,
        named(root.descriptor(), reference),
        blobs.iter().copied().chain([root]),
    )?;
    folder.finish()
}

/// Adds the files of a layout with one root.
pub(super) fn add_layout<'b>(
    folder: &mut Folder,
    root: Value,
    blobs: impl IntoIterator<Item = &'b Blob>,
) -> Result<()> {
    for blob in blobs {
        folder.add(&blob.path(), &blob.bytes, 0o644)?;
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]});
    folder.add("index.json", index.to_string().as_bytes(), 0o644)?;
    folder.add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)
}

/// A tar archive in which nothing tells who made it, or where.
pub(super) struct Folder {
    tar: tar::Builder<Vec<u8>>,
    time: u64,
}

impl Folder {
    pub(super) fn new(time: u64) -> Self {
        Self { tar: tar::Builder::new(Vec::new()), time }
    }

    pub(super) fn add(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        self.tar
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("cannot put {path} into an archive"))
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.tar.into_inner().context("cannot end an archive")
    }
}
