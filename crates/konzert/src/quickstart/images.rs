//! The sample images of the quickstart: a base with a package database, and three applications on it.
//!
//! The program in them is this binary itself, which is static, so nothing has to be fetched.

use std::path::Path;

use konzert_images::{ContentStore, ImageBuilder, ImageError, ImageRecord, LayerBuilder, Reference};

use super::sample::NEVER_READY;

/// Repository of the base images.
pub(crate) const BASE: &str = "quickstart/base";
/// The applications: name and how the sample program runs in them.
const APPLICATIONS: [(&str, &str); 3] = [("web", "serve"), ("api", "serve"), ("worker", "wait")];

/// Builds the old base and the applications on it.
pub(crate) fn build_fleet(store: &ContentStore, program: &Path) -> Result<Vec<ImageRecord>, ImageError> {
    let base = build_base(store, "1.0", "1.4.2-1", Health::Good)?;
    // One layer, shared by all three: the program is large.
    let runtime = LayerBuilder::new().file_from("bin/app", 0o755, program);
    let mut built = vec![base.clone()];
    for (name, mode) in APPLICATIONS {
        let own = LayerBuilder::new().file("etc/app/name", 0o644, name.as_bytes());
        let image = ImageBuilder::from_image(&base)
            .add_layer(runtime.clone())
            .add_layer(own)
            .entrypoint(["/bin/app", super::SAMPLE_VERB])
            .cmd([mode, name])
            .user("1000:1000")
            .commit(store, &reference(&format!("quickstart/{name}:1.0")))?;
        built.push(image);
    }
    Ok(built)
}

/// Whether applications on a base become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Fixed, but nothing on it ever becomes ready: the bad patch of the story.
    NeverReady,
}

/// Builds a base image with `samplelib` in the given version.
pub(crate) fn build_base(
    store: &ContentStore,
    tag: &str,
    samplelib: &str,
    health: Health,
) -> Result<ImageRecord, ImageError> {
    let status = format!(
        "Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4+deb12u5\n\n\
         Package: libsample1\nStatus: install ok installed\nArchitecture: amd64\nSource: samplelib\nVersion: {samplelib}\n\n\
         Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2024a-0+deb12u1\n"
    );
    let os_release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
    let mut layer = LayerBuilder::new()
        .file("etc/os-release", 0o644, os_release.as_bytes())
        .file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/app\napp:x:1000:1000::/:/bin/app\n")
        .file("var/lib/dpkg/status", 0o644, status.as_bytes())
        .file("usr/lib/libsample.so.1", 0o644, samplelib.as_bytes())
        .dir("tmp", 0o1777);
    if health == Health::NeverReady {
        layer = layer.file(NEVER_READY, 0o644, b"");
    }
    ImageBuilder::from_scratch()
        .add_layer(layer)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SAMPLE_BASE", tag)
        .commit(store, &reference(&format!("{BASE}:{tag}")))
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).expect("the names above are references")
}
