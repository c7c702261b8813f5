//! List: a collection at one revision, in pages, as the bytes that are stored.

use bytes::Bytes;
use konzert_api::ApiError;
use konzert_store::{Compacted, Entry, Page, Revision};
use serde_json::{Map, Value, json};

use super::token::Token;
use super::{Filter, Place, Registry};
use crate::error::{Failure, revision_gone};
use crate::options::{ListOptions, VersionAsked, VersionMatch};

/// How many entries are looked at in one go while a selector sorts them out.
const SCAN_PAGE: usize = 500;

const TOKEN_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can \
    start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// A page of a collection.
#[derive(Debug)]
pub(crate) struct ListAnswer {
    /// Objects as served.
    pub(crate) items: Vec<Bytes>,
    pub(crate) revision: Revision,
    /// Where the next page starts.
    pub(crate) continue_token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListAnswer {
    /// `metadata` of the list.
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(self.revision.to_string()));
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), json!(token));
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
        Value::Object(metadata)
    }
}

/// Where to read from.
struct Start {
    at: Option<Revision>,
    after: Option<String>,
    token: Option<Token>,
}

/// A page as it is stored, and what is said about it; `answer.items` is empty.
pub(super) struct PageFound {
    pub(super) entries: Vec<Entry>,
    pub(super) answer: ListAnswer,
}

impl Registry {
    /// One page of the collection at `place`.
    pub(crate) fn list(&self, place: &Place, options: &ListOptions) -> Result<ListAnswer, Failure> {
        let page = self.page(place, options)?;
        let items = page.entries.iter().map(|e| place.present(&e.value)).collect::<Result<Vec<_>, _>>()?;
        Ok(ListAnswer { items, ..page.answer })
    }

    /// As [`Self::list`], before the objects are made ready to be shown.
    pub(super) fn page(&self, place: &Place, options: &ListOptions) -> Result<PageFound, Failure> {
        let filter = Filter::parse(&place.kind, options)?;
        let start = self.list_start(place, options)?;
        let prefix = filter.prefix(place);
        let scan = Scan { registry: self, place, filter: &filter, prefix: &prefix };
        let found = scan.run(&start, options.limit).map_err(|gone| expired(gone, start.token.as_ref()))?;
        let next = found.entries.last().filter(|_| found.more).map(|last| Token {
            // A list that became inconsistent stays so; naming a revision would promise too much.
            revision: Some(found.revision),
            after: relative_key(place, &last.key),
        });
        let answer = ListAnswer {
            items: Vec::new(),
            revision: found.revision,
            continue_token: next.map(|token| token.encode()),
            remaining: (found.more && filter.is_everything()).then_some(found.remaining),
        };
        Ok(PageFound { entries: found.entries, answer })
    }

    fn list_start(&self, place: &Place, options: &ListOptions) -> Result<Start, ApiError> {
        if let Some(text) = &options.continue_token {
            let token = Token::decode(text)?;
            let after = Some(format!("{}{}", place.prefix(), token.after));
            return Ok(Start { at: token.revision, after, token: Some(token) });
        }
        let VersionAsked::At(revision) = options.version else {
            return Ok(Start { at: None, after: None, token: None });
        };
        let (asked, current) = (Revision(revision), self.store.revision());
        if asked > current {
            return Err(revision_gone(Compacted { requested: asked, oldest: current, current }));
        }
        let exact = match options.version_match {
            Some(version_match) => version_match == VersionMatch::Exact,
            // A paged list at a revision has always been exact.
            None => options.limit.is_some(),
        };
        Ok(Start { at: exact.then_some(asked), after: None, token: None })
    }
}

/// Keys in tokens are relative, so that a token says nothing of the storage layout.
fn relative_key(place: &Place, key: &str) -> String {
    key.strip_prefix(&place.prefix()).unwrap_or(key).to_owned()
}

fn expired(gone: Compacted, token: Option<&Token>) -> Failure {
    match token {
        Some(token) if !gone.is_future() => Failure {
            error: ApiError::gone_expired(TOKEN_EXPIRED),
            continue_token: Some(Token { revision: None, after: token.after.clone() }.encode()),
        },
        _ => revision_gone(gone).into(),
    }
}

struct Scan<'a> {
    registry: &'a Registry,
    place: &'a Place,
    filter: &'a Filter,
    prefix: &'a str,
}

struct Found {
    entries: Vec<Entry>,
    revision: Revision,
    more: bool,
    remaining: usize,
}

impl Scan<'_> {
    fn run(&self, start: &Start, limit: Option<usize>) -> Result<Found, Compacted> {
        let store = &self.registry.store;
        if self.filter.is_everything() {
            let page = Page { at: start.at, after: start.after.clone(), limit };
            let list = store.list(self.prefix, page)?;
            let (revision, more, remaining) = (list.revision, list.more, list.remaining);
            return Ok(Found { entries: list.entries, revision, more, remaining });
        }
        let mut found = Found { entries: Vec::new(), revision: Revision(0), more: true, remaining: 0 };
        let (mut at, mut after) = (start.at, start.after.clone());
        while found.more {
            // Without a limit everything is read at once: nothing can change in between.
            let page = Page { at, after: after.take(), limit: limit.map(|_| SCAN_PAGE) };
            let list = store.list(self.prefix, page)?;
            (found.revision, at, found.more) = (list.revision, Some(list.revision), list.more);
            after = list.entries.last().map(|e| e.key.to_string());
            for entry in list.entries {
                if limit.is_some_and(|limit| found.entries.len() == limit) {
                    found.more = true;
                    return Ok(found);
                }
                if self.takes(&entry) {
                    found.entries.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// An object that cannot be read matches no selector; a plain list still shows it.
    fn takes(&self, entry: &Entry) -> bool {
        self.filter.matches_stored(self.place, &entry.value).unwrap_or(false)
    }
}
