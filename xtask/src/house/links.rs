//! Links within the repository's documents lead to files that are there, and to headings that they have.

use anyhow::{Context, Result};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What a document links to, and its headings as anchors.
struct Document {
    links: Vec<String>,
    anchors: Vec<String>,
}

/// A line for each link that leads nowhere.
pub(super) fn broken(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut documents = HashMap::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        documents.insert(plain(file), parsed(&text));
    }
    let mut found = Vec::new();
    for file in files {
        for link in &documents[&plain(file)].links {
            if let Some(why) = wrong(file, link, &documents) {
                found.push(format!("{}: link `{link}`: {why}", file.display()));
            }
        }
    }
    Ok(found)
}

fn wrong(file: &Path, link: &str, documents: &HashMap<PathBuf, Document>) -> Option<&'static str> {
    if link.contains(':') {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { file.to_owned() } else { file.with_file_name("").join(path) };
    if !target.exists() {
        return Some("there is no such file");
    }
    let (document, anchor) = documents.get(&plain(&target)).zip(anchor)?;
    (!document.anchors.iter().any(|a| a == anchor)).then_some("there is no such heading")
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut so_far, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(so_far.pop()),
            other => so_far.push(other),
        }
        so_far
    })
}

fn parsed(text: &str) -> Document {
    let (mut links, mut anchors, mut heading) = (Vec::new(), Vec::new(), None);
    for event in Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push(dest_url.into_string())
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let same = anchors.iter().filter(|a: &&String| **a == anchor).count();
                anchors.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            _ => {}
        }
    }
    Document { links, anchors }
}

/// As GitHub makes them: in small letters, with `-` for spaces and without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_of_a_document() {
        let text = "# A `b` c, d\n\n[x](y.md#z) ![i](img/i.png)\n\n## A b c d\n\n```\n[no](link)\n```\n\n| a |\n|-|\n| [t](#u) |";
        let found = parsed(text);
        assert_eq!(found.links, ["y.md#z", "img/i.png", "#u"]);
        assert_eq!(found.anchors, ["a-b-c-d", "a-b-c-d-1"]);
    }

    #[test]
    fn what_leads_nowhere_is_found() {
        let folder = std::env::temp_dir().join(format!("shmx-links-{}", std::process::id()));
        fs::create_dir_all(folder.join("docs")).unwrap();
        let (a, b) = (folder.join("a.md"), folder.join("docs/b.md"));
        fs::write(
            &a,
            "# One\n[good](docs/b.md#two), [bad](docs/b.md#three), [gone](c.md), [here](#one), [web](https://x)",
        )
        .unwrap();
        fs::write(&b, "## Two\n[up](../a.md), [folder](..), [bad](#one)").unwrap();
        let found = broken(&[a, b]).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("#three") && found[1].contains("c.md") && found[2].contains("b.md: link `#one`"));
    }
}
