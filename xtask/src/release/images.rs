//! The images of a release, for each processor and for all of them.

use anyhow::{Context as _, Result, ensure};
use harness::images::VERSION;
use harness::progress::Phase;
use harness::provide::Profile;

use super::folder::Folder;
use super::trial;
use crate::image::archive::{self, Content};
use crate::image::{self, Architecture, Binaries, Image, Names};
use crate::offline::provision::Provision;

/// The images of a release.
///
/// That of the sample is not one: it is built from a Dockerfile, for everyone to change.
pub(super) const IMAGES: [Image; 2] = [Image::Operator, Image::Terminator];

/// An image of a release.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(crate) image: Image,
    /// Name and tag.
    pub(crate) reference: String,
    /// The digest of its index, which a registry knows it by: `sha256:…`.
    pub(crate) digest: String,
    /// The OCI layout with all processors, in the folder of the release.
    pub(crate) layout: String,
}

impl Released {
    /// The name with the digest in place of the tag.
    pub(super) fn pinned(&self) -> String {
        let name = self.reference.rsplit_once(':').map_or(&*self.reference, |(name, _)| name);
        format!("{name}@{}", self.digest)
    }
}

/// How the images of a release are built.
pub(super) struct Plan<'a> {
    pub(super) registry: &'a str,
    pub(super) architectures: &'a [Architecture],
    /// Whether the release may lack processors for which this machine cannot build.
    pub(super) may_lack: bool,
    /// The commit of the sources.
    pub(super) revision: Option<&'a str>,
}

impl Plan<'_> {
    pub(super) async fn build(
        &self,
        folder: &Folder,
        provision: &Provision,
        phase: &Phase,
    ) -> Result<Vec<Released>> {
        let mut built = Vec::new();
        for &architecture in self.architectures {
            match self.binaries(architecture, provision, phase).await {
                Ok(binaries) => built.push(binaries),
                Err(error) if self.may_lack => provision.say(format_args!(
                    "the images LACK {}, for which this machine cannot build: {error:#}",
                    architecture.name()
                )),
                Err(error) => return Err(error),
            }
        }
        ensure!(!built.is_empty(), "there is no processor to build for");
        let names = Names { registry: self.registry.to_owned(), ..Names::default() };
        let released = IMAGES.iter().map(|image| self.write(*image, &names, &built, folder));
        let released = released.collect::<Result<Vec<_>>>()?;
        let architectures = built.iter().map(|binaries| binaries.architecture.name());
        phase.outcome(architectures.collect::<Vec<_>>().join(", "));
        Ok(released)
    }

    async fn binaries(
        &self,
        architecture: Architecture,
        provision: &Provision,
        phase: &Phase,
    ) -> Result<Binaries> {
        let packages: Vec<_> = IMAGES.iter().filter_map(|image| image.package()).collect();
        phase.detail(format_args!(
            "cargo build {} for {}",
            packages.join(" "),
            architecture.name()
        ));
        let binaries =
            image::build_for(architecture, &packages, Profile::Release, provision).await?;
        for package in packages {
            trial::run(&binaries, package, provision).await?;
        }
        Ok(binaries)
    }

    /// Writes the archives of one image.
    fn write(
        &self,
        image: Image,
        names: &Names,
        built: &[Binaries],
        folder: &Folder,
    ) -> Result<Released> {
        let package = image.package().context("an image without a package")?;
        let reference = names.reference(image);
        let binaries = built
            .iter()
            .map(|built| image::read_binary(built, package, Profile::Release))
            .collect::<Result<Vec<_>>>()?;
        let created = image::created()?;
        let variants: Vec<_> = built
            .iter()
            .zip(&binaries)
            .map(|(built, binary)| Content {
                reference: &reference,
                name: package,
                binary,
                architecture: built.architecture.name(),
                version: VERSION,
                revision: self.revision,
                created,
            })
            .collect();
        let name = format!("{}-{VERSION}", image.repository());
        for variant in &variants {
            let archive = archive::write(variant)?;
            folder.write(&format!("{name}-linux-{}.tar", variant.architecture), &archive.bytes)?;
        }
        let archive = archive::write_index(&reference, &variants)?;
        let layout = format!("{name}.oci.tar");
        folder.write(&layout, &archive.bytes)?;
        Ok(Released { image, reference, digest: archive.digest, layout })
    }
}
