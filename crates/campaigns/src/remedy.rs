//! Which remedy an image gets. So far there is one: the same image on a newer base of the same repository.

use jiff::Timestamp;

/// An image that could replace the base of an affected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseCandidate {
    /// A name of it.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// When it came to this machine.
    pub loaded_at: Timestamp,
    /// Whether a scan that may be trusted finds none of the advisories in it.
    pub clean: bool,
    /// Whether an earlier campaign had to take it back.
    pub rolled_back: bool,
    /// Why the image cannot be moved to it; `None` when it can.
    pub refusal: Option<String>,
}

/// Why an image has no remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRemedy {
    /// The content store does not have the image.
    #[error("the image is not in this machine's content store")]
    NotHere,
    /// No stored image is the beginning of this one.
    #[error("its base image is not in this machine's content store")]
    NoBase,
    /// The advisory is about something the base did not bring.
    #[error("the advisory is about {package}, which the application's own layers brought in")]
    NotFromBase {
        /// The package.
        package: String,
    },
    /// There is no other image of the base's repository.
    #[error("no newer image of its base {base} is in this machine's content store")]
    NoCandidate {
        /// The base.
        base: String,
    },
    /// There are others, but none without the advisory.
    #[error("no image of its base {base} is free of the advisory; the newest is {newest}")]
    NotFixed {
        /// The base.
        base: String,
        /// The newest other image.
        newest: String,
    },
    /// A fixed base is there, but the swap is not safe.
    #[error("it cannot be moved to {candidate}: {reason}")]
    Unsafe {
        /// The fixed base.
        candidate: String,
        /// Why not.
        reason: String,
    },
}

/// The base to move to: clean, safe, not rolled back before if there is a choice, and the newest of those.
pub fn choose_base<'a>(base: &str, candidates: &'a [BaseCandidate]) -> Result<&'a BaseCandidate, NoRemedy> {
    let newest = candidates.iter().max_by_key(|c| c.loaded_at);
    let Some(newest) = newest else { return Err(NoRemedy::NoCandidate { base: base.to_owned() }) };
    let mut clean: Vec<&BaseCandidate> = candidates.iter().filter(|c| c.clean).collect();
    clean.sort_by_key(|c| (c.rolled_back, std::cmp::Reverse(c.loaded_at)));
    let Some(best) = clean.first() else {
        return Err(NoRemedy::NotFixed { base: base.to_owned(), newest: newest.image.clone() });
    };
    clean.iter().find(|c| c.refusal.is_none()).copied().ok_or_else(|| NoRemedy::Unsafe {
        candidate: best.image.clone(),
        reason: best.refusal.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(
        image: &str,
        age: i64,
        clean: bool,
        rolled_back: bool,
        refusal: Option<&str>,
    ) -> BaseCandidate {
        BaseCandidate {
            image: image.into(),
            digest: format!("sha256:{image}"),
            loaded_at: Timestamp::from_second(1_000_000 - age).unwrap(),
            clean,
            rolled_back,
            refusal: refusal.map(str::to_owned),
        }
    }

    #[test]
    fn the_newest_clean_and_safe_base_is_chosen() {
        let old = candidate("b:1.1", 20, true, false, None);
        let new = candidate("b:1.2", 10, true, false, None);
        let dirty = candidate("b:1.3", 0, false, false, None);
        let failed = candidate("b:1.4", 0, true, true, None);
        let unsafe_one = candidate("b:1.5", 0, true, false, Some("it writes var/lib/dpkg/status"));
        let rows: [(Vec<&BaseCandidate>, &str); 4] = [
            (vec![&old, &new, &dirty], "b:1.2"),
            (vec![&old, &failed], "b:1.1"),
            (vec![&failed], "b:1.4"),
            (vec![&old, &unsafe_one], "b:1.1"),
        ];
        for (all, want) in rows {
            let all: Vec<BaseCandidate> = all.into_iter().cloned().collect();
            assert_eq!(choose_base("b:1.0", &all).map(|c| c.image.as_str()), Ok(want));
        }
    }

    #[test]
    fn every_refusal_says_why() {
        let dirty = candidate("b:1.3", 0, false, false, None);
        let unsafe_one = candidate("b:1.5", 0, true, false, Some("it writes var/lib/dpkg/status"));
        let text = |all: &[BaseCandidate]| choose_base("b:1.0", all).unwrap_err().to_string();
        assert!(text(&[]).contains("no newer image of its base b:1.0"));
        assert!(text(&[dirty]).contains("the newest is b:1.3"));
        assert!(text(&[unsafe_one]).contains("b:1.5: it writes var/lib/dpkg/status"));
    }
}
