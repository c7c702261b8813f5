//! `konzert image`: the images of this machine.

use std::cell::RefCell;
use std::sync::Arc;

use konzert_fleet::report::ReportFormat;
use konzert_fleet::{Looked, Scope, inventory_report};
use konzert_images::{ContentStore, Force, ImageDigest, ImageError, ImageRecord, LoadProgress, Reference};
use serde::Serialize;

use super::registry;
use crate::cli::{Format, Global, Image, RegistryArgs, SbomFormat};
use crate::config::{Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::{Printer, columns};

/// What a person needs to know of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageLine {
    names: Vec<String>,
    digest: String,
    size: u64,
    layers: usize,
}

impl From<&ImageRecord> for ImageLine {
    fn from(image: &ImageRecord) -> Self {
        Self {
            names: image.names.clone(),
            digest: image.digest.to_string(),
            size: image.size,
            layers: image.layers.len(),
        }
    }
}

pub(crate) async fn run(global: &Global, command: Image, printer: &Printer) -> Outcome {
    if let Image::Pull { image, registry } = &command {
        return pull(global, image, registry, printer).await;
    }
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let store = Arc::new(ContentStore::open(&places.images()).map_err(image_failure)?);
    match command {
        // Above: its input is checked before anything is made.
        Image::Pull { .. } => {}
        Image::Load { path, name } => {
            let name = name.map(|text| reference(&text)).transpose()?;
            let progress = RefCell::new(printer.progress(&format!("loading {}", path.display())));
            let work = move || {
                store.load(&path, name.as_ref(), &|at| progress.borrow_mut().update(&load_progress(&at)))
            };
            let loaded = tokio::task::spawn_blocking(work).await?.map_err(image_failure)?;
            let lines: Vec<ImageLine> = loaded.iter().map(ImageLine::from).collect();
            printer.result(&lines, |lines| table(lines))?;
        }
        Image::Ls => {
            let lines: Vec<ImageLine> =
                store.list().map_err(image_failure)?.iter().map(ImageLine::from).collect();
            printer.result(&lines, |lines| table(lines))?;
        }
        Image::Rm { image } => {
            let record = find(&store, &image)?;
            let removed = if image.starts_with("sha256:") {
                store.remove(&record.digest, Force::No)
            } else {
                store.remove(&reference(&image)?, Force::No)
            };
            removed.map_err(image_failure)?;
            printer.result(&ImageLine::from(&record), |line| format!("removed {image} ({})", line.digest))?;
        }
        Image::Sbom { image, format } => {
            if global.output == Format::Yaml {
                return Err(Failure::usage(
                    "--format and --output ask for different formats: a bill of materials is JSON",
                    "leave `-o yaml` away; --format chooses between cyclonedx and spdx",
                ));
            }
            let record = find(&store, &image)?;
            let work = move || Looked::stored(&store, &record, Scope::All);
            let looked = tokio::task::spawn_blocking(work).await?.map_err(image_failure)?;
            let report = inventory_report(vec![looked], env!("CARGO_PKG_VERSION"), jiff::Timestamp::now());
            let format = match format {
                SbomFormat::Cyclonedx => ReportFormat::CycloneDx,
                SbomFormat::Spdx => ReportFormat::Spdx,
            };
            for reason in report.targets.iter().flat_map(|target| &target.reasons) {
                printer.note(&format!("not everything could be read: {reason}"));
            }
            printer.data(&report.write(format).unwrap_or_default());
        }
        Image::Inspect { image } => {
            let record = find(&store, &image)?;
            printer.result(&record, |record| serde_json::to_string_pretty(record).unwrap_or_default())?;
        }
    }
    Ok(Exit::Done)
}

async fn pull(global: &Global, image: &str, args: &RegistryArgs, printer: &Printer) -> Outcome {
    let name = reference(image)?;
    let options = registry::options(args)?;
    let places = Places::of(&global.data_dir, Create::Yes)?;
    let store = ContentStore::open(&places.images()).map_err(image_failure)?;
    let progress = RefCell::new(printer.progress(&format!("pulling {image}")));
    let work = move || store.pull(&name, &options, &|at| progress.borrow_mut().update(&load_progress(&at)));
    let pulled = tokio::task::spawn_blocking(work).await?.map_err(registry::pull_failure)?;
    printer.result(&ImageLine::from(&pulled), |line| table(std::slice::from_ref(line)))?;
    Ok(Exit::Done)
}

/// An image by name or digest, or an error that names it.
pub(crate) fn find(store: &ContentStore, image: &str) -> Result<ImageRecord, Failure> {
    let found = if image.starts_with("sha256:") {
        let digest = ImageDigest::parse(image).map_err(image_failure)?;
        store.by_digest(&digest)
    } else {
        store.get(&reference(image)?)
    };
    found.map_err(image_failure)?.ok_or_else(|| {
        Failure::usage(
            format!("image {image:?} is not on this machine"),
            "see `konzert image ls`, or get it with `konzert image load FILE` or `konzert image pull REF`",
        )
    })
}

fn reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(image_failure)
}

/// An image error with its own hint; almost all of them are about what the user gave.
pub(crate) fn image_failure(error: ImageError) -> Failure {
    let hint = error.hint().map(ToString::to_string);
    let mut failure = Failure::failed(error).into_usage();
    failure.hint = hint;
    failure
}

/// Progress of a load for people.
pub(crate) fn load_progress(at: &LoadProgress) -> String {
    match at {
        LoadProgress::Reading { bytes, total: Some(total) } => {
            format!("{} of {} MiB", bytes >> 20, total >> 20)
        }
        LoadProgress::Reading { bytes, total: None } => format!("{} MiB", bytes >> 20),
        LoadProgress::Verifying { layer, layers } => format!("verifying layer {layer} of {layers}"),
        LoadProgress::Loaded { image } => format!("{image} loaded"),
        _ => String::new(),
    }
}

fn table(lines: &[ImageLine]) -> String {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let name = if line.names.is_empty() { "<none>".to_owned() } else { line.names.join(", ") };
            let digest = line.digest.chars().take(19).collect();
            vec![name, digest, format!("{:.1} MB", bytes_as_mb(line.size)), line.layers.to_string()]
        })
        .collect();
    columns(&["NAME", "DIGEST", "SIZE", "LAYERS"], &rows)
}

#[expect(clippy::cast_precision_loss, reason = "one decimal of a size for people")]
fn bytes_as_mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
