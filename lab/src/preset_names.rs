//! Finds a preset by any name that people have for it.

use rawthread::flags::Preset;

/// Names beside the id and the name of a preset, in lower case.
const ALIASES: [(&str, &str); 12] = [
    ("pthread", "nptl"),
    ("pthreads", "nptl"),
    ("posix thread", "nptl"),
    ("std::thread", "nptl"),
    ("std::thread::spawn", "nptl"),
    ("goroutine", "go"),
    ("newosproc", "go"),
    ("exec.command", "go-exec"),
    ("os/exec", "go-exec"),
    ("posix_spawnp", "posix_spawn"),
    ("system", "posix_spawn"),
    ("docker", "container"),
];

/// The preset of that id, name or alias, whatever the case.
pub(crate) fn find(text: &str) -> Option<&'static Preset> {
    let text = text.trim().trim_end_matches("()").to_lowercase();
    let by_name = || {
        Preset::ALL
            .iter()
            .find(|preset| preset.name.to_lowercase() == text)
    };
    let by_alias = || {
        let (_, id) = ALIASES.iter().find(|(alias, _)| *alias == text)?;
        Preset::by_id(id)
    };
    Preset::by_id(&text).or_else(by_name).or_else(by_alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_found_by_its_names() {
        for preset in Preset::ALL {
            assert_eq!(find(preset.id).map(|found| found.id), Some(preset.id));
            assert!(find(preset.name).is_some(), "{}", preset.name);
        }
        for (alias, id) in ALIASES {
            assert_eq!(find(alias).map(|found| found.id), Some(id), "{alias}");
        }
        assert_eq!(
            find(" pthread_create() ").map(|found| found.id),
            Some("nptl")
        );
        assert_eq!(find("vm"), None);
    }
}
