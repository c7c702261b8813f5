//! Rebase: an application's layers on another base, when that is safe.
//!
//! Layers are matched by diff id, not by blob digest, so recompressed images match. Which base to take is decided
//! elsewhere. Invariant: the rebased image depends only on the three images and the names of the new base.

mod merge;
mod safety;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::build::{self, BASE_DIGEST, BASE_NAME};
use crate::document;
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, Reference};
use crate::limits;
use crate::record::{ImageRecord, LayerRef};
use crate::staging::Staging;
use crate::store::{ContentStore, tagged_name};
use merge::{HistoryLayers, Merged, Sections};

pub use merge::ConfigChange;

/// Annotation of a rebased image: digest of the image it was made from.
pub const REBASED_FROM: &str = "dev.konzert.rebase.from";
/// Annotation of a rebased image: digest of the base that was taken away.
pub const REBASED_OLD_BASE: &str = "dev.konzert.rebase.old-base";
/// Annotation of a rebased image: digest of the base that was put there.
pub const REBASED_NEW_BASE: &str = "dev.konzert.rebase.new-base";

/// Why an image is not rebased.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RebaseRefusal {
    /// The layers of the old base are not the lowest layers of the application.
    #[error("{app} is not built on {base}")]
    NotABase {
        /// The application.
        app: String,
        /// The image that is not its base.
        base: String,
    },
    /// Nothing would change.
    #[error("{base} has the same layers as the base that {app} has already")]
    SameBase {
        /// The application.
        app: String,
        /// The new base.
        base: String,
    },
    /// The images are for different platforms.
    #[error("{app} is for {app_platform}, {base} is for {base_platform}")]
    PlatformDiffers {
        /// The application.
        app: String,
        /// Its platform.
        app_platform: String,
        /// The base.
        base: String,
        /// The base's platform.
        base_platform: String,
    },
    /// An application layer changes the list of installed packages.
    #[error("a layer of the application writes the package database {path}")]
    AppWritesPackageDatabase {
        /// The file.
        path: String,
    },
    /// An application layer overwrites, removes or hides a file of its base.
    #[error("a layer of the application overwrites or removes {path} of its base")]
    AppMasksBaseFile {
        /// The file.
        path: String,
    },
    /// An application layer would overwrite, remove or hide a file of the new base.
    #[error("a layer of the application would hide {path} of the new base")]
    AppMasksNewBaseFile {
        /// The file.
        path: String,
    },
    /// An image could not be read or written.
    #[error("the images cannot be used")]
    Image(#[from] ImageError),
}

impl RebaseRefusal {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotABase { .. } => Some("load the base image that the application was really built on"),
            Self::SameBase { .. } => Some("load a base image with the fix"),
            Self::PlatformDiffers { .. } => Some("load the base image for the application's platform"),
            Self::AppWritesPackageDatabase { .. } => {
                Some("upgrade the packages inside the image, or rebuild it from its sources")
            }
            Self::AppMasksBaseFile { .. } | Self::AppMasksNewBaseFile { .. } => {
                Some("rebuild the image from its sources on the new base")
            }
            Self::Image(error) => error.hint(),
        }
    }
}

/// What a rebase does; made by [`ContentStore::check_rebase`], carried out by [`ContentStore::rebase`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebasePlan {
    /// The image to be rebased.
    pub app: ImageDigest,
    /// The base that goes.
    pub old_base: ImageDigest,
    /// The base that comes.
    pub new_base: ImageDigest,
    /// Layers that go.
    pub dropped_layers: Vec<LayerDiffId>,
    /// Layers that come.
    pub added_layers: Vec<LayerDiffId>,
    /// The application's own layers.
    pub kept_layers: Vec<LayerDiffId>,
    /// Settings that change with the base.
    pub changes: Vec<ConfigChange>,
    /// Settings that both the application and the new base changed; the application's stay.
    pub conflicts: Vec<String>,
}

/// The three images and their documents.
struct Trio {
    app: Side,
    old: Side,
    new: Side,
}

struct Side {
    record: ImageRecord,
    manifest: Value,
    config: Value,
}

impl ContentStore {
    /// Stored images whose layers are the lowest layers of `app` and not all of them, the longest first. Images
    /// without layers are not bases. Unknown images have none.
    pub fn bases_of(&self, app: &ImageDigest) -> Vec<ImageRecord> {
        let all = self.by_digest(app).and_then(|found| Ok(found.zip(Some(self.list()?))));
        let (app, images) = match all {
            Ok(Some(pair)) => pair,
            Ok(None) => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the image index cannot be read");
                return Vec::new();
            }
        };
        let mut bases: Vec<ImageRecord> =
            images.into_iter().filter(|image| !image.layers.is_empty() && app.is_built_on(image)).collect();
        bases.sort_by(|a, b| (b.layers.len(), &a.digest).cmp(&(a.layers.len(), &b.digest)));
        bases
    }

    /// Tests whether `app` can be moved from `old_base` to `new_base` and says what would change.
    pub fn check_rebase(
        &self,
        app: &ImageDigest,
        old_base: &ImageDigest,
        new_base: &ImageDigest,
    ) -> Result<RebasePlan, RebaseRefusal> {
        self.plan_rebase(app, old_base, new_base).map(|(plan, _, _)| plan)
    }

    /// Moves `app` from `old_base` to `new_base` and stores the result under `name`. The same images give the same
    /// result, byte for byte.
    pub fn rebase(
        &self,
        app: &ImageDigest,
        old_base: &ImageDigest,
        new_base: &ImageDigest,
        name: &Reference,
    ) -> Result<ImageRecord, RebaseRefusal> {
        let tagged = tagged_name(name)?;
        let (plan, trio, merged) = self.plan_rebase(app, old_base, new_base)?;
        let kept_from = plan.dropped_layers.len();
        let config = document::canonical(&rebased_config(&plan, &trio, merged));
        let mut layers = build::layer_descriptors(&trio.new.manifest);
        layers.extend(build::layer_descriptors(&trio.app.manifest).into_iter().skip(kept_from));
        let mut staging = Staging::new(&self.disk)?;
        let config_blob = staging.put(&config)?;
        let manifest = build::manifest_bytes(&config_blob, &layers, &rebased_annotations(&trio));
        let manifest_blob = staging.put(&manifest)?;
        let mut record = build::record_of(self, &manifest, &config)?;
        record.names = vec![tagged];
        let digest = record.digest.clone();
        self.commit(&[config_blob, manifest_blob], vec![record])?;
        Ok(self.required(&digest)?)
    }

    fn plan_rebase(
        &self,
        app: &ImageDigest,
        old_base: &ImageDigest,
        new_base: &ImageDigest,
    ) -> Result<(RebasePlan, Trio, Merged), RebaseRefusal> {
        let trio = Trio { app: self.side(app)?, old: self.side(old_base)?, new: self.side(new_base)? };
        check_shape(&trio)?;
        let (app, old, new) = (&trio.app.record, &trio.old.record, &trio.new.record);
        let own = &app.layers[old.layers.len()..];
        let effects = own.iter().map(|layer| self.effects(layer)).collect::<Result<Vec<_>, _>>()?;
        safety::check(&effects, &self.tree(&old.layers)?, &self.tree(&new.layers)?)?;
        let [old_section, new_section, app_section] =
            [&trio.old, &trio.new, &trio.app].map(|side| section_of(&side.config));
        let merged = merge::sections(Sections { old: &old_section, new: &new_section, app: &app_section });
        let ids = |layers: &[LayerRef]| layers.iter().map(|l| l.diff_id.clone()).collect();
        let plan = RebasePlan {
            app: app.digest.clone(),
            old_base: old.digest.clone(),
            new_base: new.digest.clone(),
            dropped_layers: ids(&old.layers),
            added_layers: ids(&new.layers),
            kept_layers: ids(own),
            changes: merged.changes.clone(),
            conflicts: merged.conflicts.clone(),
        };
        Ok((plan, trio, merged))
    }

    fn side(&self, digest: &ImageDigest) -> Result<Side, ImageError> {
        let found = self.inspect(digest)?;
        Ok(Side { record: found.record, manifest: found.manifest, config: found.config })
    }
}

/// Platforms, layer prefix, number of layers.
fn check_shape(trio: &Trio) -> Result<(), RebaseRefusal> {
    let (app, old, new) = (&trio.app.record, &trio.old.record, &trio.new.record);
    let shown = |record: &ImageRecord| record.display_name().to_owned();
    for base in [old, new] {
        if base.platform != app.platform {
            return Err(RebaseRefusal::PlatformDiffers {
                app: shown(app),
                app_platform: app.platform.to_string(),
                base: shown(base),
                base_platform: base.platform.to_string(),
            });
        }
    }
    if app.digest == old.digest || old.layers.is_empty() || !app.starts_with_layers_of(old) {
        return Err(RebaseRefusal::NotABase { app: shown(app), base: shown(old) });
    }
    let same_layers = new.layers.len() == old.layers.len() && new.starts_with_layers_of(old);
    if same_layers && trio.new.config == trio.old.config {
        return Err(RebaseRefusal::SameBase { app: shown(app), base: shown(new) });
    }
    let total = new.layers.len() + app.layers.len() - old.layers.len();
    if total > limits::MAX_LAYERS {
        let limit = limits::MAX_LAYERS as u64;
        return Err(
            ImageError::TooLarge { what: "the rebased image".to_owned(), limit, unit: "layers" }.into()
        );
    }
    Ok(())
}

fn section_of(config: &Value) -> Map<String, Value> {
    config["config"].as_object().cloned().unwrap_or_default()
}

/// The application's configuration with the new base's part exchanged; `created` stays the application's.
fn rebased_config(plan: &RebasePlan, trio: &Trio, merged: Merged) -> Value {
    let mut config = trio.app.config.clone();
    let ids: Vec<&str> = plan.added_layers.iter().chain(&plan.kept_layers).map(LayerDiffId::as_str).collect();
    let layers = HistoryLayers {
        old: plan.dropped_layers.len(),
        new: plan.added_layers.len(),
        app: plan.kept_layers.len(),
    };
    let history = merge::history(&trio.old.config, &trio.new.config, &trio.app.config, layers);
    config["rootfs"] = json!({"type": "layers", "diff_ids": ids});
    config["history"] = Value::Array(history);
    config["config"] = Value::Object(merged.section);
    config
}

fn rebased_annotations(trio: &Trio) -> BTreeMap<String, String> {
    let mut annotations = trio.app.record.annotations.clone();
    let mut set = |key: &str, value: &str| annotations.insert(key.to_owned(), value.to_owned());
    set(BASE_DIGEST, trio.new.record.digest.as_str());
    set(REBASED_FROM, trio.app.record.digest.as_str());
    set(REBASED_OLD_BASE, trio.old.record.digest.as_str());
    set(REBASED_NEW_BASE, trio.new.record.digest.as_str());
    match trio.new.record.names.first() {
        Some(name) => set(BASE_NAME, name),
        None => annotations.remove(BASE_NAME),
    };
    annotations
}
