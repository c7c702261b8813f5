//! The functions that rules may call: names, receivers, arguments and results, in one table.
//!
//! A row reads `receiver.(arguments) result`, or `(arguments) result` for a plain function; `A` and `B` are type
//! parameters.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::types::Type;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Signature {
    /// Whether the first parameter is the receiver.
    pub(super) member: bool,
    pub(super) params: Vec<Type>,
    pub(super) result: Type,
}

/// Types that a rule can name.
pub(super) const TYPE_NAMES: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "type",
    "null_type",
    "optional_type",
    "dyn",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "kubernetes.URL",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    "net.IP",
    "net.CIDR",
];

const TABLE: &[(&str, &str)] = &[
    ("_==_", "(A,A) bool"),
    ("_!=_", "(A,A) bool"),
    (
        "_+_",
        "(int,int) int; (uint,uint) uint; (double,double) double; (string,string) string; (bytes,bytes) bytes",
    ),
    ("_+_", "(list<A>,list<A>) list<A>; (time,span) time; (span,time) time; (span,span) span"),
    ("_-_", "(int,int) int; (uint,uint) uint; (double,double) double; (time,time) span; (time,span) time"),
    ("_-_", "(span,span) span"),
    ("_*_", "(int,int) int; (uint,uint) uint; (double,double) double"),
    ("_/_", "(int,int) int; (uint,uint) uint; (double,double) double"),
    ("_%_", "(int,int) int; (uint,uint) uint"),
    ("-_", "(int) int; (double) double"),
    ("!_", "(bool) bool"),
    ("@in", "(A,list<A>) bool; (A,map<A,B>) bool"),
    ("_[_]", "(list<A>,int) A; (map<A,B>,A) B; (opt<list<A>>,int) opt<A>; (opt<map<A,B>>,A) opt<B>"),
    (
        "_[?_]",
        "(list<A>,int) opt<A>; (map<A,B>,A) opt<B>; (opt<list<A>>,int) opt<A>; (opt<map<A,B>>,A) opt<B>",
    ),
    ("size", "(string) int; (bytes) int; (list<A>) int; (map<A,B>) int"),
    ("size", "string.() int; bytes.() int; list<A>.() int; map<A,B>.() int"),
    ("type", "(A) type"),
    ("dyn", "(A) dyn"),
    ("int", "(int) int; (uint) int; (double) int; (string) int; (time) int; (span) int"),
    ("uint", "(int) uint; (uint) uint; (double) uint; (string) uint"),
    ("double", "(int) double; (uint) double; (double) double; (string) double"),
    ("bool", "(bool) bool; (string) bool"),
    ("bytes", "(bytes) bytes; (string) bytes"),
    (
        "string",
        "(string) string; (int) string; (uint) string; (double) string; (bool) string; (bytes) string",
    ),
    ("string", "(time) string; (span) string; (ip) string; (cidr) string"),
    ("timestamp", "(string) time; (time) time; (int) time"),
    ("duration", "(string) span; (span) span; (int) span"),
    ("contains", "string.(string) bool"),
    ("startsWith", "string.(string) bool"),
    ("endsWith", "string.(string) bool"),
    ("matches", "string.(string) bool; (string,string) bool"),
    ("getFullYear", "time.() int; time.(string) int"),
    ("getMonth", "time.() int; time.(string) int"),
    ("getDate", "time.() int; time.(string) int"),
    ("getDayOfMonth", "time.() int; time.(string) int"),
    ("getDayOfWeek", "time.() int; time.(string) int"),
    ("getDayOfYear", "time.() int; time.(string) int"),
    ("getHours", "time.() int; time.(string) int; span.() int"),
    ("getMinutes", "time.() int; time.(string) int; span.() int"),
    ("getSeconds", "time.() int; time.(string) int; span.() int"),
    ("getMilliseconds", "time.() int; time.(string) int; span.() int"),
    ("optional.of", "(A) opt<A>"),
    ("optional.none", "() opt<A>"),
    ("optional.ofNonZeroValue", "(A) opt<A>"),
    ("hasValue", "opt<A>.() bool"),
    ("value", "opt<A>.() A"),
    ("or", "opt<A>.(opt<A>) opt<A>"),
    ("orValue", "opt<A>.(A) A"),
    ("charAt", "string.(int) string"),
    ("indexOf", "string.(string) int; string.(string,int) int; list<A>.(A) int"),
    ("lastIndexOf", "string.(string) int; string.(string,int) int; list<A>.(A) int"),
    ("includes", "list<A>.(A) bool"),
    ("lowerAscii", "string.() string"),
    ("upperAscii", "string.() string"),
    ("replace", "string.(string,string) string; string.(string,string,int) string"),
    ("split", "string.(string) list<string>; string.(string,int) list<string>"),
    ("substring", "string.(int) string; string.(int,int) string"),
    ("trim", "string.() string"),
    ("join", "list<string>.() string; list<string>.(string) string"),
    ("reverse", "list<A>.() list<A>"),
    ("format", "string.(list<dyn>) string"),
    ("strings.quote", "(string) string"),
    ("isSorted", "list<A>.() bool"),
    ("sum", "list<A>.() A"),
    ("min", "list<A>.() A"),
    ("max", "list<A>.() A"),
    ("slice", "list<A>.(int,int) list<A>"),
    ("flatten", "list<A>.() list<dyn>; list<A>.(int) list<dyn>"),
    ("sort", "list<A>.() list<A>"),
    ("distinct", "list<A>.() list<A>"),
    ("first", "list<A>.() opt<A>"),
    ("last", "list<A>.() opt<A>"),
    ("lists.range", "(int) list<int>"),
    ("sets.contains", "(list<A>,list<A>) bool"),
    ("sets.equivalent", "(list<A>,list<A>) bool"),
    ("sets.intersects", "(list<A>,list<A>) bool"),
    ("find", "string.(string) string"),
    ("findAll", "string.(string) list<string>; string.(string,int) list<string>"),
    ("url", "(string) url"),
    ("isURL", "(string) bool"),
    ("getScheme", "url.() string"),
    ("getHost", "url.() string"),
    ("getHostname", "url.() string"),
    ("getPort", "url.() string"),
    ("getEscapedPath", "url.() string"),
    ("getQuery", "url.() map<string,list<string>>"),
    ("ip", "(string) ip; cidr.() ip"),
    ("isIP", "(string) bool"),
    ("ip.isCanonical", "(string) bool"),
    ("family", "ip.() int"),
    ("isUnspecified", "ip.() bool"),
    ("isLoopback", "ip.() bool"),
    ("isLinkLocalMulticast", "ip.() bool"),
    ("isLinkLocalUnicast", "ip.() bool"),
    ("isGlobalUnicast", "ip.() bool"),
    ("cidr", "(string) cidr"),
    ("isCIDR", "(string) bool"),
    ("containsIP", "cidr.(string) bool; cidr.(ip) bool"),
    ("containsCIDR", "cidr.(string) bool; cidr.(cidr) bool"),
    ("masked", "cidr.() cidr"),
    ("prefixLength", "cidr.() int"),
    ("quantity", "(string) quantity"),
    ("isQuantity", "(string) bool"),
    ("sign", "quantity.() int"),
    ("isInteger", "quantity.() bool"),
    ("asInteger", "quantity.() int"),
    ("asApproximateFloat", "quantity.() double"),
    ("add", "quantity.(quantity) quantity; quantity.(int) quantity"),
    ("sub", "quantity.(quantity) quantity; quantity.(int) quantity"),
    ("isGreaterThan", "quantity.(quantity) bool; semver.(semver) bool"),
    ("isLessThan", "quantity.(quantity) bool; semver.(semver) bool"),
    ("compareTo", "quantity.(quantity) int; semver.(semver) int"),
    ("semver", "(string) semver; (string,bool) semver"),
    ("isSemver", "(string) bool; (string,bool) bool"),
    ("major", "semver.() int"),
    ("minor", "semver.() int"),
    ("patch", "semver.() int"),
    ("format.named", "(string) opt<format>"),
    ("format.dns1123Label", "() format"),
    ("format.dns1123Subdomain", "() format"),
    ("format.dns1035Label", "() format"),
    ("format.dns1123LabelPrefix", "() format"),
    ("format.dns1123SubdomainPrefix", "() format"),
    ("format.dns1035LabelPrefix", "() format"),
    ("format.qualifiedName", "() format"),
    ("format.labelValue", "() format"),
    ("format.uri", "() format"),
    ("format.uuid", "() format"),
    ("format.byte", "() format"),
    ("format.date", "() format"),
    ("format.datetime", "() format"),
    ("validate", "format.(string) opt<list<string>>"),
];

const ORDERED: &[&str] = &["_<_", "_<=_", "_>_", "_>=_"];
/// Numbers compare across their types.
const ORDERABLE: &str = "(bool,bool) bool; (int,int) bool; (int,uint) bool; (int,double) bool; (uint,uint) bool; \
                         (uint,int) bool; (uint,double) bool; (double,double) bool; (double,int) bool; \
                         (double,uint) bool; (string,string) bool; (bytes,bytes) bool; (time,time) bool; \
                         (span,span) bool";

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    let ordered = ORDERED.iter().map(|name| (*name, ORDERABLE));
    for (name, text) in TABLE.iter().copied().chain(ordered) {
        all.entry(name).or_default().extend(text.split(';').map(|one| signature(one.trim())));
    }
    all
});

/// All ways to call a function; empty when there is none of the name.
pub(super) fn signatures(name: &str) -> &'static [Signature] {
    FUNCTIONS.get(name).map_or(&[], Vec::as_slice)
}

/// Whether a dotted name is that of a function and not of a method.
pub(super) fn is_namespaced(name: &str) -> bool {
    name.contains('.') && FUNCTIONS.contains_key(name)
}

fn signature(text: &str) -> Signature {
    let (before, rest) = text.split_once('(').expect("a row of the table has arguments");
    let (args, result) = rest.split_once(')').expect("a row of the table has a result");
    let receiver = before.strip_suffix('.');
    let mut params: Vec<Type> = receiver.into_iter().map(ty).collect();
    params.extend(split(args).into_iter().filter(|arg| !arg.is_empty()).map(ty));
    Signature { member: receiver.is_some(), params, result: ty(result.trim()) }
}

/// Splits at commas that stand in no angle brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn ty(text: &str) -> Type {
    if let Some((name, inner)) = text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        let mut inner = split(inner).into_iter().map(|t| Arc::new(ty(t)));
        let mut next = || inner.next().expect("a row of the table gives every parameter");
        return match name {
            "list" => Type::List(next()),
            "opt" => Type::Optional(next()),
            _ => Type::Map(next(), next()),
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "time" => Type::Timestamp,
        "span" => Type::Duration,
        "type" => Type::Meta,
        "dyn" => Type::Dyn,
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        "url" => Type::Opaque("kubernetes.URL"),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        other => unreachable!("type {other:?} in the table of functions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read() {
        assert!(FUNCTIONS.len() > 100);
        let index: Vec<String> = signatures("_[_]").iter().map(|s| format!("{:?}", s.params)).collect();
        assert_eq!(index.len(), 4);
        assert!(signatures("getQuery")[0].member);
        assert_eq!(signatures("getQuery")[0].result.to_string(), "map(string, list(string))");
        assert!(signatures("nothing").is_empty());
    }
}
