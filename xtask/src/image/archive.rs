//! The image of one static binary, as the archive that Docker, Podman and containerd load.
//!
//! Written here and not by `docker build`, which puts the time of the build into every image: the same
//! binary makes the same archive, byte for byte, wherever and whenever it is built.
//!
//! The archive is an OCI image layout (<https://github.com/opencontainers/image-spec>), with the
//! `manifest.json` beside it by which older Docker reads it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::digest::sha256;

/// The user that our processes run as: none that a system has.
const USER: &str = "65532:65532";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What an image is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    /// Name and tag.
    pub(crate) reference: &'a str,
    /// The binary's name: it lies in the root folder and is the entrypoint.
    pub(crate) name: &'a str,
    pub(crate) binary: &'a [u8],
    /// The processor, as Go calls it: `amd64`.
    pub(crate) architecture: &'a str,
    /// The version that its label gives.
    pub(crate) version: &'a str,
    /// When it was made, in seconds since 1970: see [`super::created`].
    pub(crate) created: u64,
}

/// An image as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// The digest of its manifest, which a registry knows it by: `sha256:…`.
    pub(crate) digest: String,
}

/// Puts an image together.
///
/// # Errors
/// When a name is too long for an archive, or the time out of range.
pub(crate) fn write(content: &Content<'_>) -> Result<Archive> {
    let &Content { reference, name, binary, architecture, version, created } = content;
    let mut layer = Folder::new(created);
    layer.add(name, binary, 0o755)?;
    let layer = Blob::new(LAYER, layer.finish()?);
    let time = i64::try_from(created).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let time = time.with_context(|| format!("{created} s is no time"))?.to_string();
    let config = Blob::json(
        CONFIG,
        &json!({
            "architecture": architecture,
            "os": "linux",
            "created": time,
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{name}")],
                "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
                    "org.opencontainers.image.title": format!("daemonset-job {name}"),
                    "org.opencontainers.image.version": version,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            "history": [{"created": time, "created_by": "cargo xtask image"}],
        }),
    );
    let manifest = Blob::json(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        }),
    );
    let mut descriptor = manifest.descriptor();
    descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
    descriptor["annotations"] = json!({
        "io.containerd.image.name": harness::images::full_name(reference),
        "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    let docker =
        json!([{"Config": config.path(), "RepoTags": [reference], "Layers": [layer.path()]}]);

    let mut archive = Folder::new(created);
    for blob in [&layer, &config, &manifest] {
        archive.add(&blob.path(), &blob.bytes, 0o644)?;
    }
    archive.add("index.json", index.to_string().as_bytes(), 0o644)?;
    archive.add("manifest.json", docker.to_string().as_bytes(), 0o644)?;
    archive.add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    Ok(Archive { bytes: archive.finish()?, digest: manifest.digest })
}

/// Something that is called by its digest.
struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", sha256(&bytes));
        Self { media_type, bytes, digest }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// A tar archive in which nothing tells who made it, or where.
struct Folder {
    tar: tar::Builder<Vec<u8>>,
    time: u64,
}

impl Folder {
    fn new(time: u64) -> Self {
        Self { tar: tar::Builder::new(Vec::new()), time }
    }

    fn add(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
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

    fn finish(self) -> Result<Vec<u8>> {
        self.tar.into_inner().context("cannot end an archive")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    const SAMPLE: Content<'_> = Content {
        reference: "registry.example:5000/team/operator:1.2.3",
        name: "operator",
        binary: b"\x7fELF",
        architecture: "amd64",
        version: "1.2.3",
        created: 0,
    };

    fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().expect("entries");
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("content");
            (path, bytes)
        };
        entries.map(read).collect()
    }

    fn json_at(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
        serde_json::from_slice(&files[path]).expect("JSON")
    }

    /// Follows a descriptor, and sees that the blob is what it says.
    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(format!("sha256:{}", sha256(bytes)), digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    #[test]
    fn same_binary_makes_the_same_image_byte_for_byte() {
        let first = write(&SAMPLE).expect("an archive");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(write(&SAMPLE).expect("an archive"), first);
        // Known here, so that a change of what is written does not go unseen.
        let other = Content { binary: b"\x7fELF ", ..SAMPLE };
        assert_ne!(write(&other).expect("an archive").digest, first.digest);
    }

    #[test]
    fn image_holds_the_binary_alone_and_runs_it_without_privileges() {
        let archive = write(&SAMPLE).expect("an archive");
        let files = files(&archive.bytes);
        let index = json_at(&files, "index.json");
        assert_eq!(index["manifests"][0]["digest"], archive.digest);
        let manifest: Value =
            serde_json::from_slice(blob(&files, &index["manifests"][0])).expect("a manifest");
        let config: Value =
            serde_json::from_slice(blob(&files, &manifest["config"])).expect("a config");
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["config"]["Entrypoint"], json!(["/operator"]));
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = blob(&files, &manifest["layers"][0]);
        assert_eq!(
            super::tests::files(layer),
            [("operator".to_owned(), b"\x7fELF".to_vec())].into()
        );
    }

    #[test]
    fn older_docker_finds_the_same_content() {
        let files = files(&write(&SAMPLE).expect("an archive").bytes);
        let docker = json_at(&files, "manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!([SAMPLE.reference]));
        for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(files.contains_key(path.as_str().expect("a path")), "{path}");
        }
        let annotations = &json_at(&files, "index.json")["manifests"][0]["annotations"];
        assert_eq!(annotations["io.containerd.image.name"], SAMPLE.reference);
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "1.2.3");
    }
}
