//! The evidence as one page of HTML: what was used when, by whom, and how sure that makes a profile.
//!
//! `facts` takes the evidence apart, `chart` lays out what is drawn, the template `page.html` puts both together. The
//! page needs nothing but itself: no network, and without a script it is only not searchable. All that comes from
//! the evidence is escaped by the template, and a policy in the page lets no script run but its own.

mod chart;
mod facts;
mod phases;
mod words;

use askama::Template;

use self::chart::{Bars, Curves, Dots, Stack};
use self::facts::Facts;
use crate::estimate::Estimate;
use crate::evidence::Evidence;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the page")]
pub(crate) struct ReportError(#[from] askama::Error);

/// The page, for evidence that messages call `name`.
///
/// # Errors
/// When the template fails, which nothing in the evidence can cause.
pub(crate) fn page(evidence: &Evidence, name: &str) -> Result<String, ReportError> {
    let facts = Facts::of(evidence);
    let phases = phases::of(evidence);
    let page = Page {
        name: words::plain(name),
        version: env!("CARGO_PKG_VERSION"),
        certainty: Certainty::of(&facts.estimate),
        curves: Curves::of(evidence),
        stack: Stack::of(&facts.estimate.new),
        dots: phases.as_ref().map(Dots::of),
        phases,
        bars: Bars::of(&facts.programs),
        facts,
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "page.html", config = "src/report/askama.toml")]
struct Page {
    name: String,
    version: &'static str,
    facts: Facts,
    certainty: Certainty,
    curves: Curves,
    stack: Stack,
    phases: Option<phases::Phases>,
    dots: Option<Dots>,
    bars: Bars,
}

/// The estimate, in figures to show.
struct Certainty {
    words: String,
    /// The chance that another run needs more.
    chance: Option<String>,
    expected: Option<String>,
    missing: Option<String>,
    f1: Option<u32>,
    f2: Option<u32>,
}

impl Certainty {
    fn of(estimate: &Estimate) -> Self {
        let figure = |figure: Option<f64>| figure.map(|figure| format!("{figure:.2}"));
        let percent = |chance: f64| {
            // No chance is certainly none, nor one.
            if chance <= 0.0 {
                "no sign of it".to_owned()
            } else if chance >= 1.0 {
                "likely".to_owned()
            } else {
                // The space does not break.
                format!("at most {:.0}\u{a0}%", (chance * 100.0).ceil())
            }
        };
        Self {
            words: words::sentence(&estimate.to_string()),
            chance: estimate.chance().map(percent),
            expected: figure(estimate.expected()),
            missing: figure(estimate.missing()),
            f1: estimate.shared.map(|(f1, _)| f1),
            f2: estimate.shared.map(|(_, f2)| f2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(text: &str) -> Evidence {
        Evidence::parse(text.as_bytes(), "e").unwrap()
    }

    /// One run with this string wherever the evidence has text.
    fn hostile(text: &str) -> Evidence {
        let text = serde_json::to_string(text).unwrap();
        evidence(&format!(
            r#"{{"version":2,"runs":[{{"command":[{text},{text}],"started":1,"seconds":1.0,"kernel":{text},"arch":{text},
            "libc":{text},"end":{text},"tasks":1,"filtered":true,"complete":false,"notes":[{text}],
            "executables":[{{"path":{text},"calls":3,"fates":{{{text}:{{"processes":1,"calls":1}}}}}}],
            "calls":[{{"arch":"x86_64","nr":0,"name":{text},"count":3,"first":{{"ms":5,"executable":{text},"tid":1}},
            "executables":[{text}],"errnos":{{{text}:2}},"args":[{text}],"library":{text},"offset":{text}}},
            {{"arch":{text},"nr":9,"name":{text},"count":3}}],
            "added":[{{"name":{text},"reason":{text}}}]}}]}}"#
        ))
    }

    #[test]
    fn what_the_evidence_holds_never_becomes_markup() {
        let mark = "zq\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\u{1b}\u{202e}{{ 1 }}{% x %}";
        let page = page(&hostile(mark), mark).unwrap();
        let calm = super::page(&hostile("zq"), "zq").unwrap();
        // The same tags in the same places: whatever was in the texts is text.
        let tags = |page: &str| -> Vec<String> {
            let tags = page.match_indices('<');
            tags.map(|(at, _)| {
                page[at..]
                    .chars()
                    .take_while(|c| !c.is_whitespace() && *c != '>')
                    .collect()
            })
            .collect()
        };
        assert_eq!(tags(&page), tags(&calm));
        assert_eq!(page.matches("<script").count(), 1);
        assert!(
            page.contains("&#60;script&#62;") && !page.contains('\u{1b}'),
            "it is escaped"
        );
        assert!(
            !page.contains('\u{202e}'),
            "nor may text turn what follows around"
        );
        assert!(page.matches("zq").count() > 15, "all of it is shown");
    }

    #[test]
    fn nothing_is_taken_as_safe_or_from_elsewhere() {
        for text in [
            include_str!("page.html"),
            include_str!("script.js"),
            include_str!("style.css"),
        ] {
            for wrong in [
                "|safe",
                "| safe",
                "http://",
                "https://",
                "@import",
                "innerHTML",
                "src=",
            ] {
                assert!(!text.contains(wrong), "{wrong}");
            }
        }
    }

    #[test]
    fn evidence_of_any_kind_gives_a_page() {
        let empty = r#"{"version":1,"runs":[]}"#;
        let page = page(&evidence(empty), "empty").unwrap();
        assert!(page.contains("There are no runs"), "{page}");
        let one = r#"{"version":1,"runs":[{"command":["a"],"started":18446744073709551615,"seconds":1e300,"kernel":"6",
            "end":"running","tasks":18446744073709551615,"filtered":false,"complete":true,"notes":[],
            "calls":[{"arch":"x86_64","nr":0,"count":18446744073709551615,
                      "first":{"ms":18446744073709551615,"executable":"","tid":-1}}]}]}"#;
        let page = super::page(&evidence(one), "odd").unwrap();
        assert!(
            page.contains("read") && !page.contains("NaN") && !page.contains("inf "),
            "{page}"
        );
    }
}
