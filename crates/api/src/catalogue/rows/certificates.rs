//! Rows of `certificates.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![csr()]
}

fn csr() -> KindRow {
    KindRow {
        short_names: &["csr"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Approval, Subresource::Status],
        validate: validation::csr::validate,
        prepare_create: defaults::csr::prepare_create,
        prepare_update: defaults::csr::prepare_update,
        field_labels: &["spec.signerName"],
        columns: table::csr::COLUMNS,
        cells: table::csr::cells,
        ..base(
            Gvk::fixed("certificates.k8s.io", "v1", "CertificateSigningRequest"),
            "certificatesigningrequests",
            "certificatesigningrequest",
        )
    }
}
