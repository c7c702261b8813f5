//! Rules from text to verdict.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::schema::Structural;
use crate::status::FieldError;

fn lines(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A schema whose `spec` has these properties and rules.
fn schema(properties: &Value, rules: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": properties, "x-kubernetes-validations": rules}}})
}

fn parse(properties: &Value, rules: &Value) -> Structural {
    Structural::parse(&schema(properties, rules), "s").unwrap_or_else(|e| panic!("{rules}: {}", lines(&e)))
}

fn properties() -> Value {
    json!({
        "n": {"type": "integer"},
        "min": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string", "maxLength": 64},
        "when": {"type": "string", "format": "date-time"},
        "span": {"type": "string", "format": "duration"},
        "blob": {"type": "string", "format": "byte", "maxLength": 64},
        "port": {"x-kubernetes-int-or-string": true, "maxLength": 16},
        "flag": {"type": "boolean"},
        "foo-bar": {"type": "string", "maxLength": 8},
        "namespace": {"type": "string", "maxLength": 8},
        "tags": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 16}},
        "set": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "parts": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "required": ["id"],
                "properties": {"id": {"type": "string", "maxLength": 8}, "size": {"type": "integer"}}}},
        "labels": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "string", "maxLength": 16}},
        "other": {"type": "object", "properties": {"n": {"type": "integer", "nullable": true}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
}

fn object() -> Value {
    json!({"spec": {
        "n": 3, "min": 1, "ratio": 2, "name": "konzert", "when": "2026-01-02T03:04:05Z", "span": "1h", "blob": "aGk=",
        "port": "http", "flag": true, "foo-bar": "x", "namespace": "ns", "tags": ["a", "b"], "set": [1, 2],
        "parts": [{"id": "x", "size": 1}, {"id": "y", "size": 2}], "labels": {"a": "b"}, "other": {"n": null},
        "free": {"any": 1}}})
}

/// Expressions that hold for [`object`].
const TRUE: &[&str] = &[
    "self.n > self.min && self.n <= 3",
    "self.n + 1 == 4 && self.n - 4 == -1 && self.n * 2 == 6 && self.n / 2 == 1 && self.n % 2 == 1",
    "self.ratio == 2.0 && self.ratio > 1",
    "self.n in [1, 2, 3] && !(self.n in [4])",
    "self.name.startsWith('kon') && self.name.endsWith('t') && self.name.contains('nze')",
    "self.name.matches('^[a-z]+$') && size(self.name) == 7 && self.name.size() == 7",
    "self.name + '!' == 'konzert!' && self.name != 'x' && self.name < 'l'",
    "has(self.n) && !has(self.other.n) && has(self.labels.a) && !has(self.labels.b)",
    "self.foo__dash__bar == 'x' && self.__namespace__ == 'ns'",
    "self.tags.all(t, t.size() == 1) && self.tags.exists(t, t == 'b') && self.tags.exists_one(t, t == 'a')",
    "self.tags.map(t, t + t) == ['aa', 'bb'] && self.tags.filter(t, t != 'a') == ['b']",
    "self.tags.map(t, t == 'a', t + '1') == ['a1']",
    "self.tags[0] == 'a' && self.labels['a'] == 'b' && 'a' in self.labels && 'b' in self.tags",
    "self.labels.all(k, self.labels[k] == 'b') && self.labels.all(k, v, k == 'a' && v == 'b')",
    "self.tags.all(i, t, i < 2) && self.tags.transformList(i, t, t + t) == ['aa', 'bb']",
    "self.labels.transformMap(k, v, v + v) == {'a': 'bb'}",
    "self.set == [1, 2] && self.set + [2, 3] == [1, 2, 3]",
    "self.parts.exists(p, p.id == 'y' && p.size == 2) && self.parts.map(p, p.size).sum() == 3",
    "self.when > timestamp('2026-01-01T00:00:00Z') && self.when.getFullYear() == 2026 && self.when.getMonth() == 0",
    "self.span == duration('60m') && self.span.getSeconds() == 3600 && self.when + self.span > self.when",
    "self.blob == b'hi' && string(self.blob) == 'hi'",
    "type(self.port) == string && (type(self.port) == int ? self.port < 5 : self.port == 'http')",
    "self.flag ? true : false",
    "false && self.tags[9] == 'x' || true",
    "self.tags.exists(t, t == 'a' || self.tags[9] == 'x')",
    "int('3') == 3 && double('2.5') == 2.5 && string(3) == '3' && uint(3) == 3u && bool('true')",
    "'hello'.upperAscii() == 'HELLO' && 'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
    "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && 'hello'.substring(1, 3) == 'el'",
    "'hello'.replace('l', 'L') == 'heLLo' && ' x '.trim() == 'x' && 'abc'.charAt(1) == 'b'",
    "'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.find('[0-9]+') == '1'",
    "'%s is %d'.format([self.name, self.n]) == 'konzert is 3'",
    "[3, 1, 2].sort() == [1, 2, 3] && [1, 2].isSorted() && [1, 5].max() == 5 && [1, 1].distinct() == [1]",
    "sets.contains([1, 2], [1]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
    "quantity('1Gi').isGreaterThan(quantity('500Mi')) && isQuantity('3') && !isQuantity('x')",
    "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.1.1') && isIP('::1')",
    "url('https://a.example/x').getHost() == 'a.example' && isURL('https://a') && !isURL('x')",
    "semver('1.2.3').isLessThan(semver('1.3.0')) && semver('1.2.3').major() == 1",
    "!format.dns1123Label().validate(self.name).hasValue()",
    "format.dns1123Label().validate('A').hasValue()",
    "optional.of(1).orValue(2) == 1 && optional.none().orValue(2) == 2 && self.?n.orValue(0) == 3",
    "self.tags[?0].orValue('') == 'a' && self.tags[?7].orValue('none') == 'none' && !self.labels[?'z'].hasValue()",
    "self.?n.optMap(x, x + 1).value() == 4",
    "cel.bind(x, self.n * 2, x + x == 12)",
    "[1, 2, 3].map(i, i * i) == [1, 4, 9] && [[1], [2]].flatten() == [1, 2]",
    "self.parts.sortBy(p, -p.size).map(p, p.id) == ['y', 'x']",
    "{'a': 1, 'b': 2}.size() == 2 && {'a': 1}.a == 1",
    "r'\\d' == '\\\\d' && 'it\\'s' == \"it's\" && '\\u00e9' == 'é' && size('é') == 1",
    "self.?other.?n.hasValue() == false",
    "dyn(1) == dyn(1.0) && 1 < 2.5 && 3u > 2",
    "[1, 2].exists(x, x / 0 == 1 || x == 2)",
    "type(self.when) == google.protobuf.Timestamp && type(self.span) == google.protobuf.Duration",
    "type(quantity('1')) == kubernetes.Quantity && type(ip('::1')) == net.IP && type(null) == null_type",
    "lists.range(3) == [0, 1, 2] && [1, 2, 3].slice(0, 2) == [1, 2] && [1, 2].reverse() == [2, 1]",
];

#[test]
fn what_the_language_says() {
    for rule in TRUE {
        let kind = parse(&properties(), &json!([{ "rule": rule }]));
        assert_eq!(lines(&kind.validate(&object())), "", "{rule}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn what_a_compiler_finds() {
    let mut out = String::new();
    for rule in [
        "self.foo > 1",
        "self.n > 'x'",
        "self.n ==",
        "self.n + 1",
        "nothing(1)",
        "other.n == 1",
        "self.tags.all(t, t > 1)",
        "self.n.size() == 1",
        "[1, 'x'].size() == 2",
        "self.name.matches('[')",
        "timestamp('soon') > self.when",
        "self.n = 1",
        "has(self)",
        "self.free.any == 1",
        "'abc",
        "a.b{c: 1} == 2",
        "9223372036854775808 > 0",
        "self.n > 1 && (true",
        "while",
    ] {
        let raw = schema(&properties(), &json!([{ "rule": rule }]));
        let errors = Structural::parse(&raw, "s").expect_err(rule);
        let text = lines(&errors);
        let text = text.split_once("null}: ").map_or(text.as_str(), |(_, detail)| detail);
        writeln!(out, "{text}").unwrap();
    }
    insta::assert_snapshot!(out, @r##"
    compilation failed: ERROR: <input>:1:5: undefined field 'foo'
     | self.foo > 1
     | ....^
    compilation failed: ERROR: <input>:1:8: found no matching overload for '_>_' applied to '(int, string)'
     | self.n > 'x'
     | .......^
    compilation failed: ERROR: <input>:1:10: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
     | self.n ==
     | .........^
    cel expression must evaluate to a bool
    compilation failed: ERROR: <input>:1:8: undeclared reference to 'nothing' (in container '')
     | nothing(1)
     | .......^
    compilation failed: ERROR: <input>:1:1: undeclared reference to 'other' (in container '')
     | other.n == 1
     | ^
    compilation failed: ERROR: <input>:1:20: found no matching overload for '_>_' applied to '(string, int)'
     | self.tags.all(t, t > 1)
     | ...................^
    compilation failed: ERROR: <input>:1:12: found no matching overload for 'size' applied to 'int.()'
     | self.n.size() == 1
     | ...........^
    compilation failed: ERROR: <input>:1:5: expected type 'int' but found 'string'
     | [1, 'x'].size() == 2
     | ....^
    compilation failed: ERROR: <input>:1:19: invalid matches argument
     | self.name.matches('[')
     | ..................^
    compilation failed: ERROR: <input>:1:11: invalid timestamp argument
     | timestamp('soon') > self.when
     | ..........^
    compilation failed: ERROR: <input>:1:8: Syntax error: token recognition error at: '='
     | self.n = 1
     | .......^
    compilation failed: ERROR: <input>:1:4: invalid argument to has() macro
     | has(self)
     | ...^
    compilation failed: ERROR: <input>:1:10: undefined field 'any'
     | self.free.any == 1
     | .........^
    compilation failed: ERROR: <input>:1:1: Syntax error: token recognition error at: '''
     | 'abc
     | ^
    compilation failed: ERROR: <input>:1:4: messages cannot be constructed in rules
     | a.b{c: 1} == 2
     | ...^
    compilation failed: ERROR: <input>:1:1: invalid int literal
     | 9223372036854775808 > 0
     | ^
    compilation failed: ERROR: <input>:1:20: Syntax error: missing ')' at '<EOF>'
     | self.n > 1 && (true
     | ...................^
    compilation failed: ERROR: <input>:1:1: reserved identifier: while
     | while
     | ^
    "##);
}

#[test]
fn errors_at_run_time() {
    let mut out = String::new();
    for rule in [
        "self.tags[5] == 'x'",
        "self.labels['zz'] == 'x'",
        "self.n / 0 == 1",
        "9223372036854775807 + self.n > 0",
        "self.port > 3",
        "self.n > 100",
        "duration(self.name) > self.span",
        "quantity(self.name).sign() == 1",
        "optional.none().value() == 1",
        "ip(self.name).family() == 4",
        "url(self.name).getHost() == 'x'",
        "self.name.charAt(9) == 'x'",
        "self.name.substring(2, 99) == 'x'",
        "self.name.substring(3, 2) == 'x'",
        "[1].slice(0, 3) == [1]",
        "[1].filter(x, x > 1).min() == 1",
        "!format.named('dns1123Label').hasValue() || format.named('zz').hasValue()",
        "self.name.lastIndexOf('o', 99) != -1 || self.name.indexOf('o', 99) != -1",
    ] {
        let kind = parse(&properties(), &json!([{ "rule": rule }]));
        writeln!(out, "{}", lines(&kind.validate(&object()))).unwrap();
    }
    insta::assert_snapshot!(out, @r##"
    spec: Invalid value: "object": index out of bounds: 5 evaluating rule: self.tags[5] == 'x'
    spec: Invalid value: "object": no such key: zz evaluating rule: self.labels['zz'] == 'x'
    spec: Invalid value: "object": division by zero evaluating rule: self.n / 0 == 1
    spec: Invalid value: "object": integer overflow evaluating rule: 9223372036854775807 + self.n > 0
    spec: Invalid value: "object": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.port > 3
    spec: Invalid value: failed rule: self.n > 100
    spec: Invalid value: "object": time: invalid duration "konzert" evaluating rule: duration(self.name) > self.span
    spec: Invalid value: "object": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: quantity(self.name).sign() == 1
    spec: Invalid value: "object": optional.none() dereference evaluating rule: optional.none().value() == 1
    spec: Invalid value: "object": IP Address "konzert" parse error during conversion from string: ParseAddr("konzert"): unable to parse IP evaluating rule: ip(self.name).family() == 4
    spec: Invalid value: "object": URL parse error during conversion from string: parse "konzert": invalid URI for request evaluating rule: url(self.name).getHost() == 'x'
    spec: Invalid value: "object": index out of range: 9 evaluating rule: self.name.charAt(9) == 'x'
    spec: Invalid value: "object": index out of range: 99 evaluating rule: self.name.substring(2, 99) == 'x'
    spec: Invalid value: "object": invalid substring range. start: 3, end: 2 evaluating rule: self.name.substring(3, 2) == 'x'
    spec: Invalid value: "object": cannot slice(0, 3), list is length 1 evaluating rule: [1].slice(0, 3) == [1]
    spec: Invalid value: "object": min called on empty list evaluating rule: [1].filter(x, x > 1).min() == 1
    spec: Invalid value: failed rule: !format.named('dns1123Label').hasValue() || format.named('zz').hasValue()
    spec: Invalid value: failed rule: self.name.lastIndexOf('o', 99) != -1 || self.name.indexOf('o', 99) != -1
    "##);
}

#[test]
fn messages_reasons_and_paths() {
    let rules = json!([
        {"rule": "self.n < 2", "message": "  n is too large "},
        {"rule": "self.n < 2", "messageExpression": "'n is %d'.format([self.n])", "fieldPath": ".n"},
        {"rule": "self.n < 2", "messageExpression": "'line\\nbreak'", "message": "plain"},
        {"rule": "self.n < 2", "reason": "FieldValueForbidden", "message": "no"},
        {"rule": "self.n < 2", "reason": "FieldValueRequired", "message": "needed", "fieldPath": ".labels['a.b']"},
    ]);
    let kind = parse(&properties(), &rules);
    insta::assert_snapshot!(lines(&kind.validate(&object())), @r##"
    spec: Invalid value: n is too large
    spec.n: Invalid value: n is 3
    spec: Invalid value: plain
    spec: Forbidden: no
    spec.labels[a.b]: Required value: needed
    "##);
    let scalar = json!({"n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 2"}]}});
    let kind = parse(&scalar, &json!([]));
    assert_eq!(
        lines(&kind.validate(&json!({"spec": {"n": 3}}))),
        "spec.n: Invalid value: 3: failed rule: self < 2"
    );
    // A rule is not asked about null or missing values.
    assert_eq!(lines(&kind.validate(&json!({"spec": {}}))), "");
}

#[test]
fn bad_members_of_rules() {
    let rules = json!([
        {"rule": " "},
        {"rule": "true", "message": " "},
        {"rule": "true", "message": "a\nb"},
        {"rule": "true\n&& true"},
        {"rule": "true", "messageExpression": " "},
        {"rule": "true", "reason": "Because"},
        {"rule": "true", "fieldPath": ".nowhere"},
    ]);
    let errors = Structural::parse(&schema(&properties(), &rules), "s").unwrap_err();
    insta::assert_snapshot!(lines(&errors), @r##"
    s.properties[spec].x-kubernetes-validations[0].rule: Required value: rule is not specified
    s.properties[spec].x-kubernetes-validations[1].message: Invalid value: " ": must be non-empty if specified
    s.properties[spec].x-kubernetes-validations[2].message: Invalid value: "a\nb": must not contain line breaks
    s.properties[spec].x-kubernetes-validations[3].message: Required value: message must be specified if rule contains line breaks
    s.properties[spec].x-kubernetes-validations[4].messageExpression: Required value: messageExpression must be non-empty if specified
    s.properties[spec].x-kubernetes-validations[5].reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"
    s.properties[spec].x-kubernetes-validations[6].fieldPath: Invalid value: ".nowhere": must be a valid path
    "##);
    let rules = json!([
        {"rule": "true", "messageExpression": "self.nothing"},
        {"rule": "true", "messageExpression": "1"},
        {"rule": "true", "optionalOldSelf": true},
    ]);
    let errors = Structural::parse(&schema(&properties(), &rules), "s").unwrap_err();
    insta::assert_snapshot!(lines(&errors), @r##"
    s.properties[spec].x-kubernetes-validations[0].messageExpression: Invalid value: {"Rule":"true","Message":"","MessageExpression":"self.nothing","Reason":null,"FieldPath":"","OptionalOldSelf":null}: messageExpression compilation failed: ERROR: <input>:1:5: undefined field 'nothing'
     | self.nothing
     | ....^
    s.properties[spec].x-kubernetes-validations[1].messageExpression: Invalid value: {"Rule":"true","Message":"","MessageExpression":"1","Reason":null,"FieldPath":"","OptionalOldSelf":null}: messageExpression must evaluate to a string
    s.properties[spec].x-kubernetes-validations[2].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule
    "##);
}

#[test]
fn transitions_see_the_old_value() {
    let rules = json!([
        {"rule": "self.n >= oldSelf.n", "message": "n may only grow"},
        {"rule": "oldSelf.hasValue() || self.n == 3", "optionalOldSelf": true, "message": "starts with 3"},
    ]);
    let kind = parse(&properties(), &rules);
    let with = |n: i64| json!({"spec": {"n": n}});
    let update =
        |old: &Value, new: &Value| lines(&kind.validate_update(old, new, super::super::Changed::Whole));
    assert_eq!(lines(&kind.validate(&with(3))), "");
    assert_eq!(lines(&kind.validate(&with(1))), "spec: Invalid value: starts with 3");
    assert_eq!(update(&with(3), &with(4)), "");
    assert_eq!(update(&with(3), &with(2)), "spec: Invalid value: n may only grow");
}

#[test]
fn items_are_told_apart_by_their_keys() {
    let mut raw = properties();
    raw["parts"]["items"]["x-kubernetes-validations"] = json!([{"rule": "self.size >= oldSelf.size"}]);
    let kind = parse(&raw, &json!([]));
    let parts = |list: Value| json!({"spec": {"parts": list}});
    let old = parts(json!([{"id": "x", "size": 5}, {"id": "y", "size": 1}]));
    let update = |new: &Value| lines(&kind.validate_update(&old, new, super::super::Changed::Whole));
    assert_eq!(
        update(&parts(json!([{"id": "y", "size": 2}, {"id": "x", "size": 5}, {"id": "z", "size": 0}]))),
        ""
    );
    assert_eq!(
        update(&parts(json!([{"id": "y", "size": 0}]))),
        "spec.parts[0]: Invalid value: failed rule: self.size >= oldSelf.size"
    );
    let mut raw = properties();
    raw["tags"]["items"]["x-kubernetes-validations"] = json!([{"rule": "self == oldSelf"}]);
    let errors = Structural::parse(&schema(&raw, &json!([])), "s").unwrap_err();
    assert_eq!(
        lines(&errors),
        "s.properties[spec].properties[tags].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": \
         oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[spec].properties[tags]"
    );
}

#[test]
fn what_did_not_change_is_let_pass() {
    let rules = json!([{"rule": "self.n < 2"}]);
    let mut raw = properties();
    raw["other"]["x-kubernetes-validations"] = json!([{"rule": "has(self.n)"}]);
    let kind = parse(&raw, &rules);
    let old = json!({"spec": {"n": 3, "other": {}}, "metadata": {"labels": {"a": "1"}}});
    let update = |new: &Value| lines(&kind.validate_update(&old, new, super::super::Changed::Whole));
    let mut new = old.clone();
    new["metadata"]["labels"]["a"] = json!("2");
    assert_eq!(update(&new), "");
    new["spec"]["name"] = json!("changed");
    assert_eq!(update(&new), "spec: Invalid value: failed rule: self.n < 2");
}

#[test]
fn rules_that_cost_too_much_are_refused() {
    let open = json!({"list": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}});
    let rules = json!([{"rule": "self.list.all(a, a.all(x, a.all(y, x == y)))"}]);
    let errors = Structural::parse(&schema(&open, &rules), "s").unwrap_err();
    assert!(
        lines(&errors).contains("estimated rule cost exceeds budget by factor of more than 100x"),
        "{}",
        lines(&errors)
    );
    let fine =
        json!({"list": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}}});
    parse(&fine, &json!([{"rule": "self.list.all(x, self.list.exists(y, x == y))"}]));
}

/// Costs that real servers compute; a definition is refused or accepted by them.
#[test]
fn estimates_are_those_of_real_servers() {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let list = |items: &Value| json!({"type": "array", "items": items});
    let map = json!({"type": "object", "additionalProperties": text});
    let object = json!({"type": "object", "properties": {"b": number}});
    let table = [
        (&number, "self.a == self.b", 4),
        (&number, "type(self.a) == int", 4),
        (&number, "int(double(self.a)) == self.b", 6),
        (&text, "self.a.startsWith('Rook')", 3),
        (&text, "self.a.matches('^[^0-9]*$')", 943_721),
        (&text, "size(self.a) == 12", 4),
        (&text, "self.a.charAt(3) == 'k'", 4),
        (&text, "self.a.split(' ') == ['Rook', 'takes', 'x']", 629_159),
        (&text, "self.a.lowerAscii() == self.a.lowerAscii()", 943_723),
        (&list(&number), "1 in self.a", 1_572_865),
        (&list(&number), "self.a + [4, 5] == [1, 2, 3, 4, 5]", 24),
        (&list(&number), "has(self.a) && has(self.b)", 2),
        (&list(&number), "self.a.all(k, size(self.a) > 0)", 11_010_044),
        (&list(&number), "self.a.exists_one(k, self.a == [2])", 23_592_949),
        (&list(&number), "size(self.a.filter(k, size(self.a) > 1)) == 1", 26_738_686),
        (&list(&text), "self.a == self.b", 104_862),
        (&map, "self.a == {'k1': 'a', 'k2': 'b'}", 33),
        (&map, "self.a == self.b", 39_326),
        (&map, "self.a.all(k, size(self.a) > 0)", 2_752_508),
        (&object, "has(self.a.b)", 2),
    ];
    for (field, rule, cost) in table {
        let schema = json!({"type": "object", "properties": {"a": field, "b": field}});
        let schema = Structural::parse(&schema, "s").unwrap();
        let decl = super::types::Decl::of(schema.root(), true).unwrap();
        let compiled =
            super::compile::compile_one(rule, &decl, false).unwrap_or_else(|e| panic!("{rule}: {e}"));
        assert_eq!(compiled.cost, cost, "{rule}");
    }
}

/// Rules whose estimate is fine, or whose text is hostile, and that would run for ever.
#[test]
fn hostile_rules_end() {
    let raw = json!({"n": {"type": "integer"}, "big": {"type": "string", "maxLength": 2_000_000}});
    let nest = |depth: usize| {
        format!("{}self.n > 0{}", "[1,2,3,4,5,6,7,8,9,10].all(v, ".repeat(depth), ")".repeat(depth))
    };
    for rule in [
        nest(12),
        "(".repeat(5000),
        "[".repeat(5000),
        "!".repeat(90_000) + "true",
        format!("true{}", " ? true : true".repeat(500)),
        "self.n == 1 || ".repeat(2000) + "true",
        format!("'{}'.matches('(a|aa)+$')", "a".repeat(500)),
        "'a'.matches('((((a{100}){100}){100}){100})')".to_owned(),
        "lists.range(1000000000).size() > 0".to_owned(),
        "'x'.format([1]) == '%.999999999f'.format([1.0])".to_owned(),
        "self.big.replace('', self.big) == 'x'".to_owned(),
        "a".repeat(200_000),
    ] {
        let kind = match Structural::parse(&schema(&raw, &json!([{ "rule": rule }])), "s") {
            Ok(kind) => kind,
            Err(errors) => {
                assert!(!errors.is_empty());
                continue;
            }
        };
        let object = json!({"spec": {"n": 3, "big": "b".repeat(300_000)}});
        let text = lines(&kind.validate(&object));
        assert!(text.len() < 100_000, "{}", &text[..200]);
    }
}

/// The estimate knows nothing of what a macro makes, so a rule can pass it and run out while it runs.
#[test]
fn a_rule_that_runs_too_long_is_stopped() {
    let raw = json!({"list": {"type": "array", "maxItems": 300, "items": {"type": "integer"}}});
    let rules = json!([{"rule": "self.list.all(a, self.list.all(b, a + b >= 0))"}]);
    let kind = parse(&raw, &rules);
    let object = json!({"spec": {"list": (0..300).collect::<Vec<_>>()}});
    assert_eq!(lines(&kind.validate(&object)), "");
    let many = json!([
        {"rule": "self.list.all(a, self.list.all(b, a + b >= 0))"},
        {"rule": "self.list.all(a, self.list.all(b, a * b >= 0))"},
    ]);
    let mut spec = serde_json::Map::new();
    let mut fields = serde_json::Map::new();
    for n in 0..16 {
        let mut field = raw["list"].clone();
        field["x-kubernetes-validations"] = json!([{"rule": "self.all(a, self.all(b, a + b >= 0))"}]);
        fields.insert(format!("list{n}"), field);
        spec.insert(format!("list{n}"), object["spec"]["list"].clone());
    }
    fields.insert("list".to_owned(), raw["list"].clone());
    let kind = parse(&Value::Object(fields), &many);
    let text = lines(&kind.validate(&json!({ "spec": spec })));
    assert!(text.contains("validation failed due to running out of cost budget"), "{text}");
}
