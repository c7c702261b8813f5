//! Findings of packages, and of images put together from them.
//!
//! An image's findings are those of its packages in the order of `konzert_advisories::find_packages`, so that matching an image is
//! gathering what is known of packages that it shares with others. The references are shared too.

use std::sync::{Arc, OnceLock};

use konzert_advisories::Finding;
use konzert_api::own::FindingRef;

/// Findings of one image, worst first; shared with whoever reports them.
pub type Findings = Arc<Vec<Arc<FindingRef>>>;

/// Who brought a package into an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The image has no base that is known.
    Unknown,
    Base,
    Application,
}

impl Origin {
    fn of(base_layers: usize, layer: usize) -> Self {
        match base_layers {
            0 => Self::Unknown,
            base if layer < base => Self::Base,
            _ => Self::Application,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Base => "base",
            Self::Application => "application",
        }
    }
}

/// A finding of a package, and how images list it.
#[derive(Debug)]
pub(crate) struct Noted {
    finding: Finding,
    /// By origin; made when an image needs it.
    references: [OnceLock<Arc<FindingRef>>; 3],
}

impl Noted {
    pub(crate) fn new(mut finding: Finding) -> Self {
        // No reference says these.
        (finding.vector, finding.summary, finding.ecosystem) = Default::default();
        Self { finding, references: Default::default() }
    }

    fn reference(&self, origin: Origin) -> Arc<FindingRef> {
        let make = || Arc::new(reference(&self.finding, origin));
        self.references[origin as usize].get_or_init(make).clone()
    }
}

/// The findings of an image from those of its packages, which come in the order of the packages.
pub(crate) fn put_together(packages: &[Arc<[Noted]>], base_layers: usize) -> Findings {
    let mut all: Vec<&Noted> = packages.iter().flat_map(|noted| noted.iter()).collect();
    all.sort_by(|a, b| Finding::order(&a.finding, &b.finding));
    let reference = |noted: &&Noted| noted.reference(Origin::of(base_layers, noted.finding.layer));
    Arc::new(all.iter().map(reference).collect())
}

fn reference(finding: &Finding, origin: Origin) -> FindingRef {
    FindingRef {
        advisory: finding.advisory.clone(),
        aliases: finding.aliases.clone(),
        package: finding.package.clone(),
        installed: finding.installed.clone(),
        fixed: finding.fixed.clone().unwrap_or_default(),
        state: finding.state.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        origin: origin.as_str().to_owned(),
    }
}

/// Roughly how much memory it takes, with references of two origins.
pub(crate) fn noted_bytes(noted: &Noted) -> usize {
    let finding = &noted.finding;
    let texts = [&finding.advisory, &finding.package, &finding.installed, &finding.evidence];
    let aliases = finding.aliases.iter().map(|alias| alias.len() + size_of::<String>());
    let own = texts.iter().map(|text| text.len()).sum::<usize>() + aliases.sum::<usize>();
    size_of::<Noted>() + 2 * size_of::<FindingRef>() + 3 * own + 128
}
