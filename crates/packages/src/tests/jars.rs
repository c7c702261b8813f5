//! Java archives: coordinates, nesting, and archives that want to hurt.

use std::io::Read;

use super::support::{Archive, jar, of, rows};
use crate::LayerCataloguer;

const POM: &[u8] = b"#Generated\nversion=2.14.1\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\n";
const POM_AT: &str = "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties";

#[test]
fn coordinates_come_from_poms_and_nested_archives_count() {
    for how in [Archive::Stored, Archive::Deflated, Archive::Streamed] {
        let filler = vec![7; 100_000];
        let inner = jar(how, &[("a.class", &filler), (POM_AT, POM), ("b.class", &filler)]);
        let war = jar(
            how,
            &[("WEB-INF/web.xml", b"<x/>"), ("WEB-INF/lib/log4j-core-2.14.1.jar", &inner), ("z", b"z")],
        );
        let ear = jar(how, &[("app.war", &war)]);
        let found = of(&[("srv/app.ear", &ear)]);
        // Stored content of unknown length is the one thing that cannot be read from front to back.
        assert!(found.complete, "{how:?}: {:?}", found.warnings);
        let core = &found.packages[0];
        assert_eq!(
            (core.name.as_str(), core.version.as_str()),
            ("org.apache.logging.log4j:log4j-core", "2.14.1")
        );
        assert_eq!(core.evidence, "srv/app.ear!/app.war!/WEB-INF/lib/log4j-core-2.14.1.jar");
        assert_eq!(core.purl(), "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1");
    }
}

#[test]
fn without_a_pom_the_manifest_and_the_file_name_speak() {
    let manifest = b"Manifest-Version: 1.0\r\nBundle-SymbolicName: org.exam\r\n ple.thing;singleton:=true\r\nImplementation-Version: 9.9\r\n\r\nName: x\r\n";
    let rows_of = |path: &str, files: &[(&str, &[u8])]| rows(&of(&[(path, &jar(Archive::Deflated, files))]));
    let with = [("META-INF/MANIFEST.MF", &manifest[..])];
    assert_eq!(rows_of("a/thing-1.2.jar", &with), ["org.example:thing 1.2"]);
    assert_eq!(rows_of("a/thing.jar", &with), ["org.example:thing 9.9"]);
    assert_eq!(rows_of("a/thing-1.2-SNAPSHOT.jar", &[("x", b"x")]), ["thing 1.2-SNAPSHOT"]);
    assert_eq!(rows_of("a/thing.jar", &[("x", b"x")]), [""; 0]);
}

#[test]
fn what_gradle_and_ant_build_says_its_group_nowhere_but_in_its_classes() {
    let class = |path: &'static str| (path, &b"\xca\xfe\xba\xbe"[..]);
    let manifest: &[u8] =
        b"Manifest-Version: 1.0\nAutomatic-Module-Name: spring.webmvc\nImplementation-Version: 5.3.17\n";
    let spring = [
        ("META-INF/MANIFEST.MF", manifest),
        class("org/springframework/web/servlet/A.class"),
        class("org/springframework/web/servlet/view/B.class"),
    ];
    let kafka = [
        class("org/apache/kafka/clients/A.class"),
        class("org/apache/kafka/common/B.class"),
        class("kafka/C.class"),
    ];
    let catalina: [(&str, &[u8]); 2] =
        [("META-INF/MANIFEST.MF", b"Implementation-Version: 9.0.60\n"), class("org/apache/catalina/A.class")];
    let shaded = [(POM_AT, POM), class("com/example/app/A.class")];
    let found = of(&[
        ("app/spring-webmvc-5.3.17.jar", &jar(Archive::Deflated, &spring)),
        ("app/kafka-clients-3.3.0.jar", &jar(Archive::Deflated, &kafka)),
        ("app/dom4j-1.6.1.jar", &jar(Archive::Deflated, &[class("org/dom4j/A.class")])),
        ("usr/local/tomcat/lib/catalina.jar", &jar(Archive::Deflated, &catalina)),
        ("app/all-1.0.jar", &jar(Archive::Deflated, &shaded)),
    ]);
    let named = |name: &str| {
        let also = |p: &&crate::Package| p.name == name || p.also.iter().any(|other| other == name);
        found.packages.iter().find(also).map(|p| p.version.as_str())
    };
    assert_eq!(named("org.springframework:spring-webmvc"), Some("5.3.17"));
    assert_eq!(named("org.apache.kafka:kafka-clients"), Some("3.3.0"));
    assert_eq!(named("dom4j:dom4j"), Some("1.6.1"));
    assert_eq!(named("org.apache.tomcat:tomcat-catalina"), Some("9.0.60"));
    assert_eq!(named("org.apache.logging.log4j:log4j-core"), Some("2.14.1"));
    assert_eq!(named("com.example:all"), Some("1.0"));
}

#[test]
fn an_executable_archive_begins_with_a_script() {
    let script =
        [&b"#!/bin/sh\nexec java -jar PKPK\n"[..], &jar(Archive::Deflated, &[(POM_AT, POM)])].concat();
    assert_eq!(of(&[("app.jar", &script)]).packages.len(), 1);
}

#[test]
fn a_bomb_ends_with_a_warning() {
    let zeros = vec![0; 30 << 20];
    let inner = jar(Archive::Deflated, &[("zeros", &zeros), (POM_AT, POM)]);
    let many: Vec<(String, &[u8])> = (0..40).map(|n| (format!("{n}.jar"), inner.as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(n, c)| (n.as_str(), *c)).collect();
    let bomb = jar(Archive::Deflated, &[("zeros.jar", &jar(Archive::Deflated, &many))]);
    let found = of(&[("bomb.jar", &bomb)]);
    // What is not wanted and has a known length is passed over without being expanded.
    assert!(found.complete && found.packages.len() == 1, "{:?}", found.warnings);
    let streamed = jar(Archive::Streamed, &[("0", &zeros), ("1", &zeros), ("2", &zeros), (POM_AT, POM)]);
    let found = of(&[("bomb.jar", &streamed)]);
    assert!(found.packages.is_empty() && !found.complete);
    assert!(found.warnings[0].contains("zip bomb"), "{:?}", found.warnings);
}

#[test]
fn archives_nest_to_a_bounded_depth() {
    let mut nested = jar(Archive::Deflated, &[(POM_AT, POM)]);
    for _ in 0..10 {
        nested = jar(Archive::Stored, &[("n.jar", &nested)]);
    }
    let found = of(&[("n.jar", &nested)]);
    assert!(found.packages.is_empty());
    assert!(found.warnings[0].contains("too deep"), "{:?}", found.warnings);
}

#[test]
fn what_cannot_be_read_is_said() {
    let whole = jar(Archive::Deflated, &[("first.class", &[1; 5000]), (POM_AT, POM)]);
    let encrypted = {
        let mut bytes = jar(Archive::Stored, &[("x.jar", b"x")]);
        bytes[6] |= 1;
        bytes
    };
    for (content, want) in
        [(&whole[..40], "cannot be read"), (b"not a zip", "no zip archive"), (&encrypted, "encrypted")]
    {
        let found = of(&[("a.jar", content)]);
        assert!(found.warnings[0].contains(want), "{:?}", found.warnings);
    }
    // The layer itself is cut off: that is the reader's error, and a warning here.
    let mut cataloguer = LayerCataloguer::new("sha256:0");
    cataloguer.file("a.jar", 1000, &mut whole[..100].take(100)).unwrap();
    assert!(!cataloguer.finish().files["a.jar"].warnings.is_empty());
}
