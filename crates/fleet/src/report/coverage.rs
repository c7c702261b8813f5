//! Whether silence about a target means safety: what was read, which advisories cover it, whether anybody still fixes it.
//!
//! Pure. Unknown: no packages, no advisories, a distribution that is unknown, not covered, covered by an old source, or past its end of life.
//! Partial: something was not read, or the packages of a language have no advisories that are young enough.

use std::collections::BTreeMap;

use konzert_advisories::Trust;
use konzert_api::own::ReportState;
use konzert_packages::{Catalogue, PackageClass, Support};

/// State and reasons of a catalogue; `trusted` tells how far the advisories of an ecosystem can be believed now.
pub(crate) fn judge(
    catalogue: &Catalogue,
    support: Option<Support>,
    has_advisories: bool,
    trusted: &dyn Fn(&str) -> Trust,
) -> (ReportState, Vec<String>) {
    let mut state = ReportState::Complete;
    let mut reasons = Vec::new();
    let mut lower = |to: ReportState, reason: String| {
        let worse = to == ReportState::Unknown || state == ReportState::Complete;
        state = if worse { to } else { state };
        reasons.push(reason);
    };
    for warning in &catalogue.warnings {
        lower(ReportState::Partial, warning.clone());
    }
    if !catalogue.complete && catalogue.warnings.is_empty() {
        lower(ReportState::Partial, "something could not be read".to_owned());
    }
    if catalogue.packages.is_empty() && catalogue.suppressed.is_empty() {
        lower(ReportState::Unknown, "no packages were found".to_owned());
        return (state, reasons);
    }
    if !has_advisories {
        lower(ReportState::Unknown, "no advisories were imported".to_owned());
        return (state, reasons);
    }
    if let Some(Support::Ended { since }) = support {
        let name = catalogue.distribution.as_ref().map(ToString::to_string).unwrap_or_default();
        lower(ReportState::Unknown, format!("{name} is past its end of life: no more fixes since {since}"));
    }
    let mut counted: BTreeMap<(PackageClass, &str), usize> = BTreeMap::new();
    for package in &catalogue.packages {
        *counted.entry((package.class(), package.ecosystem.as_str())).or_default() += 1;
    }
    for ((class, ecosystem), packages) in counted {
        let to = match class {
            PackageClass::Os => ReportState::Unknown,
            PackageClass::Language => ReportState::Partial,
        };
        if ecosystem.is_empty() {
            let what = match class {
                PackageClass::Os => "the distribution is not known",
                PackageClass::Language => "no ecosystem is known",
            };
            lower(to, format!("{what}, so nothing is known of {}", amount(packages)));
            continue;
        }
        match trusted(ecosystem) {
            Trust::Fresh => {}
            Trust::NotCovered => {
                lower(
                    to,
                    format!(
                        "no advisory source covers {ecosystem}: nothing is known of {}",
                        amount(packages)
                    ),
                );
            }
            Trust::Stale { location, as_of } => {
                let text =
                    format!("the advisories for {ecosystem} are too old: {location} speaks as of {as_of}");
                lower(to, text);
            }
        }
    }
    (state, reasons)
}

fn amount(packages: usize) -> String {
    if packages == 1 { "1 package".to_owned() } else { format!("{packages} packages") }
}
