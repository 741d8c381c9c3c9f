//! The image of one static binary, as the archive that Docker, Podman and containerd load.
//!
//! Written here and not by `docker build`, which puts the time of the build into every image: the same
//! binary makes the same archive, byte for byte, wherever and whenever it is built.
//!
//! The archive is an OCI image layout (<https://github.com/opencontainers/image-spec>), with the
//! `manifest.json` beside it by which older Docker reads it.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::oci::{self, Blob, Folder, INDEX, MANIFEST};

/// The user that our processes run as: none that a system has.
const USER: &str = "65532:65532";

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
    /// The commit of the sources, if they are those of one.
    pub(crate) revision: Option<&'a str>,
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
pub(crate) fn write(content: &Content<'_>) -> Result<Archive> {
    let image = Image::of(content)?;
    let Image { layer, config, manifest, .. } = &image;
    let docker = json!([
        {"Config": config.path(), "RepoTags": [content.reference], "Layers": [layer.path()]}
    ]);
    let mut archive = Folder::new(content.created);
    let root = oci::named(image.descriptor(), content.reference);
    oci::add_layout(&mut archive, root, [layer, config, manifest])?;
    archive.add("manifest.json", docker.to_string().as_bytes(), 0o644)?;
    Ok(Archive { bytes: archive.finish()?, digest: image.manifest.digest })
}

/// Puts an image together that has a variant for each processor.
///
/// It is an index of the images of [`write`].
pub(crate) fn write_index(reference: &str, variants: &[Content<'_>]) -> Result<Archive> {
    let images = variants.iter().map(Image::of).collect::<Result<Vec<_>>>()?;
    let manifests: Vec<_> = images.iter().map(Image::descriptor).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = Blob::json(INDEX, &index);
    let blobs = images.iter().flat_map(|image| [&image.layer, &image.config, &image.manifest]);
    let created = variants.first().map_or(0, |variant| variant.created);
    let bytes = oci::layout(reference, &index, &blobs.collect::<Vec<_>>(), created)?;
    Ok(Archive { bytes, digest: index.digest })
}

/// The blobs of an image for one processor.
struct Image<'a> {
    layer: Blob,
    config: Blob,
    manifest: Blob,
    architecture: &'a str,
}

impl<'a> Image<'a> {
    fn of(content: &Content<'a>) -> Result<Self> {
        let &Content { name, binary, architecture, created, .. } = content;
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
                    "Labels": labels(content),
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
                "history": [{"created": time, "created_by": "cargo xtask image"}],
            }),
        );
        let manifest = Blob::json(MANIFEST, &Blob::manifest(&config, &layer));
        Ok(Self { layer, config, manifest, architecture })
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = self.manifest.descriptor();
        descriptor["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        descriptor
    }
}

/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>
fn labels(content: &Content<'_>) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        "org.opencontainers.image.source": harness::images::SOURCE,
        "org.opencontainers.image.title": format!("daemonset-job {}", content.name),
        "org.opencontainers.image.url": harness::images::SOURCE,
        "org.opencontainers.image.version": content.version,
    });
    if let Some(revision) = content.revision {
        labels["org.opencontainers.image.revision"] = json!(revision);
    }
    labels
}

/// Puts an archive in the place of another one as a whole, for a run at the same time may read that.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(bytes)?;
    fresh.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;
    use crate::digest::sha256;

    const SAMPLE: Content<'_> = Content {
        reference: "registry.example:5000/team/operator:1.2.3",
        name: "operator",
        binary: b"\x7fELF",
        architecture: "amd64",
        version: "1.2.3",
        revision: Some("0123abc"),
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

    #[test]
    fn index_leads_to_the_image_of_each_processor() {
        let variants = [SAMPLE, Content { architecture: "arm64", ..SAMPLE }];
        let archive = write_index(SAMPLE.reference, &variants).expect("an archive");
        let files = files(&archive.bytes);
        let root = &json_at(&files, "index.json")["manifests"][0];
        assert_eq!(root["digest"], archive.digest);
        assert_eq!(root["annotations"]["io.containerd.image.name"], SAMPLE.reference);
        let index: Value = serde_json::from_slice(blob(&files, root)).expect("an index");
        let images = index["manifests"].as_array().expect("images");
        assert_eq!(images.len(), 2);
        for (image, variant) in images.iter().zip(variants) {
            assert_eq!(image["platform"]["architecture"], variant.architecture);
            assert_eq!(image["digest"], write(&variant).expect("an archive").digest);
            let manifest: Value = serde_json::from_slice(blob(&files, image)).expect("a manifest");
            blob(&files, &manifest["layers"][0]);
            let config: Value =
                serde_json::from_slice(blob(&files, &manifest["config"])).expect("a config");
            assert_eq!(config["architecture"], variant.architecture);
            let labels = &config["config"]["Labels"];
            for (label, expected) in [
                ("revision", "0123abc"),
                ("version", "1.2.3"),
                ("licenses", "Apache-2.0"),
                ("source", harness::images::SOURCE),
            ] {
                assert_eq!(labels[format!("org.opencontainers.image.{label}")], expected);
            }
        }
    }

    #[test]
    fn archive_that_is_replaced_is_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("images/operator.tar");
        replace(&path, b"the first one").expect("written");
        let mut reader = std::fs::File::open(&path).expect("opened");
        replace(&path, b"the next").expect("replaced");
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("read");
        assert_eq!(read, "the first one");
        assert_eq!(std::fs::read(&path).expect("read"), b"the next");
    }
}
