//! Findings for people, scripts, GitHub's annotations and code scanners.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Checked;
use crate::check::{Finding, Severity, kinds};

/// Lines as compilers write them, and a summary.
pub(super) fn text(all: &[Checked]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for Checked { name, findings } in all {
        for finding in findings {
            let place = match finding.at.line {
                0 => name.clone(),
                _ => format!("{name}:{}", finding.at),
            };
            let part = match finding.path.as_str() {
                "" => String::new(),
                path => format!("{path}: "),
            };
            let severity = finding.kind.severity.name();
            let message = printable(&finding.message);
            let _ = writeln!(
                text,
                "{place}: {severity}: {part}{message} [{}]",
                finding.kind.id
            );
            let _ = writeln!(text, "    fix: {}", finding.fix);
        }
        let count = |severity| {
            findings
                .iter()
                .filter(|finding| finding.kind.severity == severity)
                .count()
        };
        let counts = [
            (Severity::Error, "errors"),
            (Severity::Warning, "warnings"),
            (Severity::Note, "notes"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(severity, plural)| match count(severity) {
                1 => format!("1 {}", severity.name()),
                count => format!("{count} {plural}"),
            })
            .collect();
        let _ = writeln!(text, "{name}: {}", counts.join(", "));
    }
    text
}

/// What a file holds must not write to the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

pub(super) fn json(all: &[Checked]) -> String {
    let finding = |finding: &Finding| {
        json!({
            "id": finding.kind.id,
            "severity": finding.kind.severity.name(),
            "path": finding.path,
            "line": (finding.at.line > 0).then_some(finding.at.line),
            "column": (finding.at.line > 0).then_some(finding.at.column),
            "message": finding.message,
            "fix": finding.fix,
            "fixable": finding.repair.is_some(),
        })
    };
    let file = |checked: &Checked| {
        let findings: Vec<Value> = checked.findings.iter().map(finding).collect();
        json!({ "file": checked.name, "findings": findings })
    };
    let files: Vec<Value> = all.iter().map(file).collect();
    format!("{:#}\n", json!({ "files": files }))
}

/// Workflow commands of GitHub Actions (docs.github.com, "Workflow commands for GitHub Actions").
pub(super) fn github(all: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { name, findings } in all {
        for finding in findings {
            let command = match finding.kind.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            let place = match finding.at.line {
                0 => String::new(),
                line => format!(",line={line},col={}", finding.at.column),
            };
            let _ = writeln!(
                text,
                "::{command} file={}{place},title={}::{}",
                property(name),
                finding.kind.id,
                data(&format!("{}\nfix: {}", finding.message, finding.fix))
            );
        }
    }
    text
}

/// The text of a workflow command, which ends with its line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property, which also ends at a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0).
pub(super) fn sarif(all: &[Checked]) -> String {
    let kinds = kinds();
    let rules: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "id": kind.id,
                "shortDescription": { "text": kind.title },
                "defaultConfiguration": { "level": kind.severity.name() },
            })
        })
        .collect();
    let result = |name: &str, finding: &Finding| {
        let mut location = json!({ "artifactLocation": { "uri": uri(name) } });
        if let (1.., Some(fields)) = (finding.at.line, location.as_object_mut()) {
            let region = json!({ "startLine": finding.at.line, "startColumn": finding.at.column });
            fields.insert("region".to_owned(), region);
        }
        let mut place = json!({ "physicalLocation": location });
        if let (false, Some(fields)) = (finding.path.is_empty(), place.as_object_mut()) {
            let part = json!([{ "fullyQualifiedName": finding.path }]);
            fields.insert("logicalLocations".to_owned(), part);
        }
        json!({
            "ruleId": finding.kind.id,
            "ruleIndex": kinds.iter().position(|kind| kind.id == finding.kind.id),
            "level": finding.kind.severity.name(),
            "message": { "text": format!("{}\nfix: {}", finding.message, finding.fix) },
            "locations": [place],
        })
    };
    let results: Vec<Value> = all
        .iter()
        .flat_map(|checked| {
            checked
                .findings
                .iter()
                .map(|finding| result(&checked.name, finding))
        })
        .collect();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// A path as a URI reference: what has a meaning there is escaped (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if plain {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    if path.starts_with('/') {
        uri.insert_str(0, "file://");
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_escaped() {
        assert_eq!(data("100%\nmore"), "100%25%0Amore");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(uri("dir/a b%.json"), "dir/a%20b%25.json");
        assert_eq!(uri("/etc/app.json"), "file:///etc/app.json");
        assert_eq!(printable("a\u{1b}[2Jb"), "a [2Jb");
    }
}
