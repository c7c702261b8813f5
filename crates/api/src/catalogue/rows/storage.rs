//! Rows of `storage.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::{defaults, table, validation, warnings};

const GROUP: &str = "storage.k8s.io";

pub(super) fn rows() -> Vec<KindRow> {
    vec![
        csi_driver(),
        csi_node(),
        csi_storage_capacity(),
        storage_class(),
        volume_attachment(),
        volume_attributes_class(),
    ]
}

fn csi_driver() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        default_fn: defaults::csidriver::apply,
        validate: validation::csidriver::validate,
        validate_update: validation::csidriver::validate_update,
        prepare_update: defaults::csidriver::prepare_update,
        warnings: warnings::csi_driver,
        columns: table::csidriver::COLUMNS,
        cells: table::csidriver::cells,
        ..base(Gvk::fixed(GROUP, "v1", "CSIDriver"), "csidrivers", "csidriver")
    }
}

fn csi_node() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        validate: validation::csinode::validate,
        validate_update: validation::csinode::validate_update,
        columns: table::csinode::COLUMNS,
        cells: table::csinode::cells,
        ..base(Gvk::fixed(GROUP, "v1", "CSINode"), "csinodes", "csinode")
    }
}

fn csi_storage_capacity() -> KindRow {
    KindRow {
        default_fn: defaults::csistoragecapacity::apply,
        validate: validation::csistoragecapacity::validate,
        validate_update: validation::csistoragecapacity::validate_update,
        columns: table::csistoragecapacity::COLUMNS,
        cells: table::csistoragecapacity::cells,
        ..base(Gvk::fixed(GROUP, "v1", "CSIStorageCapacity"), "csistoragecapacities", "csistoragecapacity")
    }
}

fn storage_class() -> KindRow {
    KindRow {
        short_names: &["sc"],
        scope: Scope::Cluster,
        default_fn: defaults::storageclass::apply,
        validate: validation::storageclass::validate,
        validate_update: validation::storageclass::validate_update,
        warnings: warnings::storage_class,
        columns: table::storageclass::COLUMNS,
        cells: table::storageclass::cells,
        ..base(Gvk::fixed(GROUP, "v1", "StorageClass"), "storageclasses", "storageclass")
    }
}

fn volume_attachment() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        validate: validation::volumeattachment::validate,
        validate_update: validation::volumeattachment::validate_update,
        prepare_create: defaults::volumeattachment::prepare_create,
        columns: table::volumeattachment::COLUMNS,
        cells: table::volumeattachment::cells,
        ..base(Gvk::fixed(GROUP, "v1", "VolumeAttachment"), "volumeattachments", "volumeattachment")
    }
}

fn volume_attributes_class() -> KindRow {
    KindRow {
        short_names: &["vac"],
        scope: Scope::Cluster,
        validate: validation::volumeattributesclass::validate,
        validate_update: validation::volumeattributesclass::validate_update,
        columns: table::volumeattributesclass::COLUMNS,
        cells: table::volumeattributesclass::cells,
        ..base(
            Gvk::fixed(GROUP, "v1", "VolumeAttributesClass"),
            "volumeattributesclasses",
            "volumeattributesclass",
        )
    }
}
