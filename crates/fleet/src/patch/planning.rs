//! Who is exposed, and what would help: from the fleet and the content store to the input of `konzert-campaigns`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use konzert_api::own::{
    FindingRef, ImageChange, PatchCampaign, PatchCampaignSpec, ReportState, WorkloadState,
};
use konzert_campaigns::{BaseCandidate, Exposed, NoRemedy, Planned, WaveSize, choose_base};
use konzert_images::{ContentStore, ImageDigest, ImageRecord, Reference};
use kube::api::{Api, ListParams};

use super::workload;
use crate::FleetError;
use crate::error::parse_digest;
use crate::inventory::WorkloadRef;
use crate::scan::{ContainerReport, Scanner};

/// Whether remedies are built or only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Yes,
    No,
}

/// What a look at the fleet found.
pub(super) struct Looked {
    pub(super) advisories: Vec<String>,
    pub(super) exposed: usize,
    pub(super) planned: Planned,
}

/// Looks who is exposed and plans.
pub(super) async fn look(
    scanner: &Scanner,
    images: &ContentStore,
    spec: &PatchCampaignSpec,
    build: Build,
) -> Result<Looked, FleetError> {
    let advisories = scanner.advisory_ids(&spec.advisories)?;
    let mut reports = scanner.exposed(&spec.advisories).await?;
    reports.retain(|r| spec.namespaces.is_empty() || spec.namespaces.contains(&r.container.namespace));
    let reports = selected(scanner, reports, &spec.selector).await?;
    let planner = Planner {
        scanner,
        images,
        advisories: &advisories,
        taken_back: taken_back(scanner, images).await?,
        build,
    };
    let mut by_workload: BTreeMap<WorkloadRef, Vec<&ContainerReport>> = BTreeMap::new();
    for report in &reports {
        by_workload.entry(report.container.workload.clone()).or_default().push(report);
    }
    let mut all = Vec::with_capacity(by_workload.len());
    for (workload, containers) in by_workload {
        let remedy = planner.remedy(&workload, &containers).await?;
        all.push(Exposed {
            kind: workload.kind,
            namespace: workload.namespace,
            name: workload.name,
            uid: workload.uid,
            containers: containers.len(),
            remedy,
        });
    }
    let sizes = WaveSize::parse_all(&spec.waves)
        .map_err(|e| FleetError::Request { field: "waves", problem: e.to_string() })?;
    let planned = konzert_campaigns::plan(all, &sizes, spec.max_workloads);
    Ok(Looked { advisories: advisories.into_iter().collect(), exposed: reports.len(), planned })
}

/// Keeps the containers whose workload has the labels.
async fn selected(
    scanner: &Scanner,
    reports: Vec<ContainerReport>,
    selector: &str,
) -> Result<Vec<ContainerReport>, FleetError> {
    if selector.is_empty() {
        return Ok(reports);
    }
    let kinds: BTreeSet<String> = reports.iter().map(|r| r.container.workload.kind.clone()).collect();
    let mut uids = BTreeSet::new();
    for kind in kinds {
        uids.extend(workload::with_labels(scanner.client()?, &kind, selector).await?);
    }
    Ok(reports.into_iter().filter(|r| uids.contains(&r.container.workload.uid)).collect())
}

/// Digests of bases that earlier campaigns had to take back.
async fn taken_back(scanner: &Scanner, images: &ContentStore) -> Result<BTreeSet<String>, FleetError> {
    let listed = Api::<PatchCampaign>::all(scanner.client()?.clone()).list(&ListParams::default()).await;
    let campaigns = listed.map_err(FleetError::api("list patch campaigns"))?.items;
    let entries = campaigns.into_iter().filter_map(|c| c.status).flat_map(|s| s.workloads);
    let changes = entries.filter(|w| w.state == WorkloadState::RolledBack).flat_map(|w| w.changes);
    let mut bases = BTreeSet::new();
    for change in changes {
        let Ok(digest) = parse_digest(&change.after_digest) else { continue };
        let record = images.by_digest(&digest).map_err(FleetError::image("read the image index"))?;
        bases.extend(record.and_then(|r| r.annotations.get(konzert_images::REBASED_NEW_BASE).cloned()));
    }
    Ok(bases)
}

struct Planner<'a> {
    scanner: &'a Scanner,
    images: &'a ContentStore,
    advisories: &'a BTreeSet<String>,
    taken_back: BTreeSet<String>,
    build: Build,
}

impl Planner<'_> {
    /// The changes that rid a workload of the advisories, or why there are none.
    async fn remedy(
        &self,
        workload: &WorkloadRef,
        containers: &[&ContainerReport],
    ) -> Result<Result<Vec<ImageChange>, String>, FleetError> {
        if let Some(reason) = workload::not_changeable(&workload.kind) {
            return Ok(Err(reason.to_owned()));
        }
        // Replicas run the same image; during a rollout two, of which the template names the newer.
        let template = workload::images(self.scanner.client()?, workload).await?;
        let mut changes: Vec<ImageChange> = Vec::new();
        for report in containers {
            let container = &report.container;
            if changes.iter().any(|c| c.container == container.container) {
                continue;
            }
            let Some(before) = template.get(&container.container) else {
                return Ok(Err(format!("its template has no container {}", container.container)));
            };
            if *before != container.image {
                return Ok(Err("it is being rolled out".to_owned()));
            }
            match self.change(report).await? {
                Ok(change) => changes.push(change),
                Err(reason) => return Ok(Err(format!("container {}: {reason}", container.container))),
            }
        }
        Ok(Ok(changes))
    }

    async fn change(&self, report: &ContainerReport) -> Result<Result<ImageChange, NoRemedy>, FleetError> {
        let container = &report.container;
        let digest = match parse_digest(&container.digest) {
            Ok(digest) => digest,
            Err(_not_told) => return Ok(Err(NoRemedy::NotHere)),
        };
        let record = self.images.by_digest(&digest).map_err(FleetError::image("read the image index"))?;
        let Some(app) = record else { return Ok(Err(NoRemedy::NotHere)) };
        let (base, candidate) = match self.base_for(&app, &report.findings).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let name = rebased_name(&app, &container.image, &candidate);
        let mut change = ImageChange {
            container: container.container.clone(),
            before: container.image.clone(),
            before_digest: container.digest.clone(),
            after: name.tagged_name().unwrap_or_default(),
            after_digest: String::new(),
            remedy: "rebase".to_owned(),
            evidence: String::new(),
        };
        if self.build == Build::Yes {
            let built = self.images.rebase(&app.digest, &base.digest, &candidate, &name);
            let built = match built {
                Ok(built) => built,
                Err(refusal) => {
                    let reason = refusal.to_string();
                    return Ok(Err(NoRemedy::Unsafe { candidate: candidate.to_string(), reason }));
                }
            };
            change.after = format!("{}@{}", change.after, built.digest);
            change.after_digest = built.digest.to_string();
        }
        Ok(Ok(change))
    }

    /// The base that brought the advisory in, and the one to move to.
    async fn base_for(
        &self,
        app: &ImageRecord,
        findings: &[Arc<FindingRef>],
    ) -> Result<Result<(ImageRecord, ImageDigest), NoRemedy>, FleetError> {
        if let Some(own) = findings.iter().find(|f| f.origin == "application") {
            return Ok(Err(NoRemedy::NotFromBase { package: own.package.clone() }));
        }
        let all = self.images.list().map_err(FleetError::image("list images"))?;
        let mut refused = NoRemedy::NoBase;
        for base in self.images.bases_of(&app.digest) {
            if self.clean(&base).await? {
                continue;
            }
            let mut candidates = Vec::new();
            for other in
                all.iter().filter(|other| other.digest != base.digest && same_repository(other, &base))
            {
                candidates.push(self.candidate(app, &base, other).await?);
            }
            match choose_base(base.display_name(), &candidates) {
                Ok(chosen) => return Ok(Ok((base, parse_digest(&chosen.digest)?))),
                Err(reason) => refused = reason,
            }
        }
        Ok(Err(refused))
    }

    async fn candidate(
        &self,
        app: &ImageRecord,
        base: &ImageRecord,
        other: &ImageRecord,
    ) -> Result<BaseCandidate, FleetError> {
        let refusal = self.images.check_rebase(&app.digest, &base.digest, &other.digest).err();
        Ok(BaseCandidate {
            image: other.display_name().to_owned(),
            digest: other.digest.to_string(),
            loaded_at: other.loaded_at,
            clean: self.clean(other).await?,
            rolled_back: self.taken_back.contains(other.digest.as_str()),
            refusal: refusal.map(|r| r.to_string()),
        })
    }

    /// Only a complete scan counts as clean.
    async fn clean(&self, image: &ImageRecord) -> Result<bool, FleetError> {
        let scan = self.scanner.scan_image(image).await?;
        let has = scan.findings.iter().any(|f| self.advisories.contains(&f.advisory));
        Ok(scan.state == ReportState::Complete && !has)
    }
}

fn same_repository(a: &ImageRecord, b: &ImageRecord) -> bool {
    let repositories = |image: &ImageRecord| -> BTreeSet<String> {
        image.names.iter().filter_map(|name| Reference::parse(name).ok()).map(|r| r.name).collect()
    };
    !repositories(a).is_disjoint(&repositories(b))
}

/// `app:1.0` on another base becomes `app:1.0-kz<8 hex of the base>`; patching again replaces the ending.
fn rebased_name(app: &ImageRecord, as_written: &str, new_base: &ImageDigest) -> Reference {
    let written = Reference::parse(as_written).ok();
    let known = || app.names.first().and_then(|name| Reference::parse(name).ok());
    let from = written.or_else(known);
    let name = from.as_ref().map_or_else(|| "patched".to_owned(), |r| r.name.clone());
    let tag = from.and_then(|r| r.tag).unwrap_or_else(|| "latest".to_owned());
    let plain = match tag.rsplit_once("-kz") {
        Some((plain, ending)) if ending.len() == 8 && ending.bytes().all(|b| b.is_ascii_hexdigit()) => plain,
        _ => &tag,
    };
    // A tag has at most 128 characters.
    let plain: String = plain.chars().take(115).collect();
    Reference { name, tag: Some(format!("{plain}-kz{}", &new_base.hex()[..8])), digest: None }
}
