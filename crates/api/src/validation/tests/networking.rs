//! Kinds of `networking.k8s.io` and `EndpointSlices`.

use serde_json::{Value, json};

use super::{check, check_update, create, kind, lines};

fn ingress() -> Value {
    json!({
        "metadata": {"name": "i", "namespace": "d"},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["a.example.com"], "secretName": "s"}],
            "rules": [{"host": "a.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
            ]}}]
        }
    })
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn ingresses() {
    let path = "/spec/rules/0/http/paths/0";
    let at = |key: &str| format!("{path}/{key}").leak() as &str;
    check(
        "Ingress",
        &ingress(),
        &[
            (
                "/spec/rules",
                json!([]),
                "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
            ),
            ("/spec/rules/0/host", json!("*.example.com"), ""),
            (
                "/spec/rules/0/host",
                json!("10.0.0.1"),
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
            ),
            (
                "/spec/rules/0/host",
                json!("*"),
                "spec.rules[0].host: Invalid value: \"*\": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            ("/spec/rules/0/http/paths", json!([]), "spec.rules[0].http.paths: Required value"),
            (
                at("pathType"),
                json!("Best"),
                "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Best\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            ),
            (
                at("pathType"),
                Value::Null,
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            ),
            (
                at("path"),
                json!(""),
                "spec.rules[0].http.paths[0].path: Invalid value: \"\": must be an absolute path",
            ),
            (
                at("path"),
                json!("/a//b/.."),
                "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": must not contain '//'\nspec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": cannot end with '/..'",
            ),
            (
                at("backend"),
                json!({}),
                "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
            ),
            (
                at("backend/service/port"),
                json!({}),
                "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
            ),
            (
                at("backend/service/port/name"),
                json!("http"),
                "spec.rules[0].http.paths[0].backend: Invalid value: \"\": cannot set both port name & port number",
            ),
            (
                at("backend/service/port/number"),
                json!(70000),
                "spec.rules[0].http.paths[0].backend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                at("backend/service/name"),
                json!(""),
                "spec.rules[0].http.paths[0].backend.service.name: Required value",
            ),
            (at("backend/service/name"), json!("1web"), ""),
            (
                at("backend/resource"),
                json!({"kind": "Bucket", "name": "b"}),
                "spec.rules[0].http.paths[0].backend: Invalid value: \"\": cannot set both resource and service backends",
            ),
            (
                "/spec/defaultBackend",
                json!({"resource": {"kind": "Bucket"}}),
                "spec.defaultBackend.resource.name: Required value",
            ),
            (
                "/spec/tls/0/hosts/0",
                json!("A"),
                format!(
                    "spec.tls[0].hosts[0]: Invalid value: \"A\": {}",
                    crate::validation::names::dns1123_subdomain("A")[0]
                )
                .leak(),
            ),
        ],
    );
    let mut old_style = ingress();
    old_style["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "traefik"});
    let found = kind("Ingress").validate_create(&old_style);
    assert_eq!(
        lines(&found),
        "annotations.kubernetes.io/ingress.class: Invalid value: \"traefik\": must match `ingressClassName` when both are specified"
    );
    assert!(kind("Ingress").validate_create(&ingress()).is_empty());
    assert!(kind("Ingress").warnings(&old_style, None).is_empty());
    old_style["spec"].as_object_mut().expect("a spec").remove("ingressClassName");
    let warned = [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
    ];
    assert_eq!(kind("Ingress").warnings(&old_style, None), warned);
    assert!(kind("Ingress").warnings(&old_style, Some(&old_style)).is_empty(), "said once");
    let mut served = create("Ingress", ingress());
    served["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.300"}, {"hostname": "10.0.0.1"}]}});
    assert_eq!(
        lines(&kind("Ingress").validate(&served)),
        "status.loadBalancer.ingress[0].ip: Invalid value: \"10.0.0.300\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)\nstatus.loadBalancer.ingress[1].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"
    );
}

#[test]
fn ingress_classes() {
    let good = json!({"metadata": {"name": "c"}, "spec": {"controller": "example.com/c", "parameters": {"kind": "P", "name": "p"}}});
    check(
        "IngressClass",
        &good,
        &[
            ("/spec/controller", json!(""), "spec.controller: Required value"),
            (
                "/spec/controller",
                json!("x"),
                "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ),
            (
                "/spec/controller",
                json!("a.io/b c"),
                "spec.controller: Invalid value: \"b c\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
            ),
            (
                "/spec/parameters/scope",
                json!("Namespace"),
                "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ),
            (
                "/spec/parameters/namespace",
                json!("d"),
                "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
            ),
            (
                "/spec/parameters/scope",
                json!("World"),
                "spec.parameters.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespace\"",
            ),
            ("/spec/parameters/kind", json!(""), "spec.parameters.kind: Required value"),
        ],
    );
    check_update(
        "IngressClass",
        &good,
        &[
            (
                "/spec/controller",
                json!("example.com/d"),
                "spec.controller: Invalid value: \"example.com/d\": field is immutable",
            ),
            ("/spec/parameters/name", json!("q"), ""),
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn network_policies() {
    let good = json!({
        "metadata": {"name": "n", "namespace": "d"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"ports": [{"port": 80}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]
        }
    });
    let port = "/spec/ingress/0/ports/0";
    check(
        "NetworkPolicy",
        &good,
        &[
            (port, json!({"port": 80, "endPort": 90}), ""),
            (
                port,
                json!({"port": 80, "endPort": 70}),
                "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
            ),
            (
                port,
                json!({"port": "http", "endPort": 90}),
                "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric",
            ),
            (
                port,
                json!({"endPort": 90}),
                "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified",
            ),
            (
                port,
                json!({"port": 80, "protocol": "ICMP"}),
                "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            ),
            (
                port,
                json!({"port": 0}),
                "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/ingress/0/from/0",
                json!({}),
                "spec.ingress[0].from[0]: Required value: must specify a peer",
            ),
            (
                "/spec/ingress/0/from/0/podSelector",
                json!({}),
                "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
            ),
            (
                "/spec/ingress/0/from/0/ipBlock/cidr",
                json!("10.0.0.1/8"),
                "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length",
            ),
            (
                "/spec/ingress/0/from/0/ipBlock/except",
                json!(["11.0.0.0/16"]),
                "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
            ),
            (
                "/spec/policyTypes",
                json!(["Both"]),
                "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\"",
            ),
            (
                "/spec/podSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                "/spec/podSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
                "spec.podSelector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            ),
            (
                "/spec/podSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "spec.podSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
        ],
    );
    assert_eq!(kind("NetworkPolicy").warnings(&good, None).len(), 1);
}

#[test]
fn addresses_of_services() {
    let cidr = json!({"metadata": {"name": "c"}, "spec": {"cidrs": ["10.0.0.0/16"]}});
    check(
        "ServiceCIDR",
        &cidr,
        &[
            ("/spec/cidrs", json!([]), "spec.cidrs: Required value: at least one CIDR required"),
            ("/spec/cidrs", json!(["10.0.0.0/16", "2001:db8::/64"]), ""),
            (
                "/spec/cidrs",
                json!(["10.0.0.0/16", "10.1.0.0/16"]),
                "spec.cidrs: Invalid value: [\"10.0.0.0/16\",\"10.1.0.0/16\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
            ),
            (
                "/spec/cidrs",
                json!(["10.0.0.0"]),
                "spec.cidrs[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
        ],
    );
    check_update(
        "ServiceCIDR",
        &cidr,
        &[
            ("/spec/cidrs", json!(["10.0.0.0/16", "2001:db8::/64"]), ""),
            (
                "/spec/cidrs",
                json!(["10.1.0.0/16"]),
                "spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable",
            ),
            ("/spec/cidrs", json!([]), "spec.cidrs: Invalid value: []: field is immutable"),
        ],
    );
    let address = json!({"metadata": {"name": "2001:db8::1"}, "spec": {"parentRef": {"resource": "services", "namespace": "d", "name": "x"}}});
    check(
        "IPAddress",
        &address,
        &[
            (
                "/metadata/name",
                json!("2001:DB8::1"),
                "metadata.name: Invalid value: \"2001:DB8::1\": must be in canonical form (\"2001:db8::1\")",
            ),
            ("/spec", json!({}), "spec.parentRef: Required value"),
            ("/spec/parentRef/resource", json!(""), "spec.parentRef.resource: Required value"),
        ],
    );
    check_update(
        "IPAddress",
        &address,
        &[(
            "/spec/parentRef",
            json!({"resource": "a", "name": "b"}),
            "spec.parentRef: Invalid value: {\"name\":\"b\",\"resource\":\"a\"}: field is immutable",
        )],
    );
}

#[test]
fn endpoint_slices() {
    let good = json!({
        "metadata": {"name": "s", "namespace": "d"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}]}}],
        "ports": [{"name": "http", "port": 80}]
    });
    check(
        "EndpointSlice",
        &good,
        &[
            (
                "/endpoints/0/addresses/0",
                json!("127.0.0.1"),
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "/endpoints/0/addresses/0",
                json!("169.254.0.1"),
                "endpoints[0].addresses[0]: Invalid value: \"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            ),
            (
                "/endpoints/0/addresses/0",
                json!("0.0.0.0"),
                "endpoints[0].addresses[0]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)",
            ),
            (
                "/endpoints/0/addresses/0",
                json!("224.0.0.1"),
                "endpoints[0].addresses[0]: Invalid value: \"224.0.0.1\": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            ),
            (
                "/endpoints/0/hints/forZones",
                json!([{"name": "a"}, {"name": "a"}]),
                "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\"",
            ),
            (
                "/endpoints/0/hostname",
                json!("a.b"),
                "endpoints[0].hostname: Invalid value: \"a.b\": must not contain dots",
            ),
            ("/ports", json!([{"port": 80}, {"port": 81}]), "ports[1].name: Duplicate value: \"\""),
            (
                "/ports/0/appProtocol",
                json!("a/b/c"),
                format!(
                    "ports[0].appProtocol: Invalid value: \"a/b/c\": {}",
                    crate::validation::names::qualified_name("a/b/c")[0]
                )
                .leak(),
            ),
        ],
    );
    let names = json!({"metadata": {"name": "s", "namespace": "d"}, "addressType": "FQDN", "endpoints": [{"addresses": ["a.example.com."]}]});
    check(
        "EndpointSlice",
        &names,
        &[(
            "/endpoints/0/addresses/0",
            json!("host"),
            "endpoints[0].addresses[0]: Invalid value: \"host\": should be a domain with at least two segments separated by dots",
        )],
    );
    check_update(
        "EndpointSlice",
        &good,
        &[("/addressType", json!("IPv6"), "addressType: Invalid value: \"IPv6\": field is immutable")],
    );
}
