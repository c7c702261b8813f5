//! Rows of `networking.k8s.io/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation, warnings};

const GROUP: &str = "networking.k8s.io";

pub(super) fn rows() -> Vec<KindRow> {
    vec![ingress(), ingress_class(), network_policy(), ip_address(), service_cidr()]
}

fn ingress() -> KindRow {
    KindRow {
        short_names: &["ing"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        validate: validation::ingress::validate,
        validate_create: validation::ingress::validate_create,
        prepare_create: defaults::ingress::prepare_create,
        warnings: warnings::ingress,
        columns: table::ingress::COLUMNS,
        cells: table::ingress::cells,
        ..base(Gvk::fixed(GROUP, "v1", "Ingress"), "ingresses", "ingress")
    }
}

fn ingress_class() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        generation: GenerationRule::Spec,
        default_fn: defaults::ingressclass::apply,
        validate: validation::ingressclass::validate,
        validate_update: validation::ingressclass::validate_update,
        columns: table::ingressclass::COLUMNS,
        cells: table::ingressclass::cells,
        ..base(Gvk::fixed(GROUP, "v1", "IngressClass"), "ingressclasses", "ingressclass")
    }
}

fn network_policy() -> KindRow {
    KindRow {
        short_names: &["netpol"],
        generation: GenerationRule::Spec,
        default_fn: defaults::networkpolicy::apply,
        validate: validation::networkpolicy::validate,
        warnings: warnings::network_policy,
        columns: table::networkpolicy::COLUMNS,
        cells: table::networkpolicy::cells,
        ..base(Gvk::fixed(GROUP, "v1", "NetworkPolicy"), "networkpolicies", "networkpolicy")
    }
}

fn ip_address() -> KindRow {
    KindRow {
        short_names: &["ip"],
        scope: Scope::Cluster,
        validate: validation::ipaddress::validate,
        validate_update: validation::ipaddress::validate_update,
        warnings: warnings::ip_address,
        name_rule: NameRule::PathSegment,
        columns: table::ipaddress::COLUMNS,
        cells: table::ipaddress::cells,
        ..base(Gvk::fixed(GROUP, "v1", "IPAddress"), "ipaddresses", "ipaddress")
    }
}

fn service_cidr() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        validate: validation::servicecidr::validate,
        validate_update: validation::servicecidr::validate_update,
        warnings: warnings::service_cidr,
        columns: table::servicecidr::COLUMNS,
        cells: table::servicecidr::cells,
        ..base(Gvk::fixed(GROUP, "v1", "ServiceCIDR"), "servicecidrs", "servicecidr")
    }
}
