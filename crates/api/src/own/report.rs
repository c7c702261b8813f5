//! `ImageReport`: what is known about one image, named by its digest.
//!
//! Holds counts and compact references; titles and descriptions come from the advisory database.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Desired identity of a report: which image it speaks of. Cluster-scoped, named `sha256-<64 hex>`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "konzert.dev",
    version = "v1alpha1",
    kind = "ImageReport",
    plural = "imagereports",
    singular = "imagereport",
    shortname = "imgr",
    status = "ImageReportStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Image","type":"string","jsonPath":".spec.image"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Packages","type":"integer","jsonPath":".status.packages"}"#,
    printcolumn = r#"{"name":"Findings","type":"integer","jsonPath":".status.affected"}"#,
    printcolumn = r#"{"name":"Critical","type":"integer","jsonPath":".status.summary.critical"}"#,
    printcolumn = r#"{"name":"High","type":"integer","jsonPath":".status.summary.high"}"#,
    printcolumn = r#"{"name":"Running","type":"integer","jsonPath":".status.running"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ImageReportSpec {
    /// Manifest digest, `sha256:<64 hex>`.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "a report is about one image: make another one",
    }]))]
    pub digest: String,
    /// A name under which the image is known, for people.
    pub image: String,
}

/// What the last look at the image found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageReportStatus {
    /// Whether the result may be trusted.
    pub state: ReportState,
    /// Why the state is not `Complete`; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Distribution and release, for example `debian 12`; empty when none was found.
    #[serde(default)]
    pub distribution: String,
    /// How many packages were found.
    pub packages: u32,
    /// How many findings there are (fixable or not).
    pub affected: u32,
    /// All findings by severity, those left off the list included.
    #[serde(default)]
    pub summary: FindingSummary,
    /// How many running containers use this image.
    pub running: u32,
    /// Findings, worst first, at most 500 and 256 KiB; `truncated` says how many were left off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingRef>,
    /// Findings left off the list.
    #[serde(default)]
    pub truncated: u32,
    /// Revision of the advisory database that changed the result last; later revisions gave the same result. Empty when there
    /// was none.
    #[serde(default)]
    pub database: String,
    /// When the result came to be what it is, RFC 3339.
    pub scanned_at: String,
}

/// Findings counted by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingSummary {
    /// Critical ones.
    #[serde(default)]
    pub critical: u32,
    /// High ones.
    #[serde(default)]
    pub high: u32,
    /// Medium ones.
    #[serde(default)]
    pub medium: u32,
    /// Low ones.
    #[serde(default)]
    pub low: u32,
    /// Those of which nobody says how bad they are.
    #[serde(default)]
    pub unknown: u32,
    /// Those of any severity that a newer version fixes.
    #[serde(default)]
    pub fixable: u32,
}

/// Whether silence means safety.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReportState {
    /// Everything was read and an advisory source covers it.
    Complete,
    /// Something could not be read, or nobody speaks of some of the packages.
    Partial,
    /// No advisory source, or one that is too old, a release past its end of life, no readable image or no known distribution:
    /// never to be shown as clean.
    #[default]
    Unknown,
}

/// A finding as a compact reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingRef {
    /// Advisory id as published (`DSA-1-1`, `CVE-2026-1`).
    pub advisory: String,
    /// Other ids of the same vulnerability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Installed package name.
    pub package: String,
    /// Installed version.
    pub installed: String,
    /// First fixed version; empty when none is published.
    #[serde(default)]
    pub fixed: String,
    /// `affected`, `fixed`, `will-not-fix`, `deferred`, `end-of-life`.
    pub state: String,
    /// `critical`, `high`, `medium`, `low`, `unknown`.
    pub severity: String,
    /// `base` or `application`: which layers brought the package in.
    #[serde(default)]
    pub origin: String,
}
