//! Report of wrong settings: each with what would be right.

use std::collections::HashMap;
use std::fmt;

use clap::Command;

/// The mistakes in a program's settings, shown in one report.
///
/// `Display` is the whole report, one line for each: where, what, and what would be right.
#[derive(Debug, Clone)]
pub struct Mistakes {
    program: String,
    /// How a setting is displayed: its flag and its environment variable.
    places: HashMap<String, String>,
    lines: Vec<Line>,
}

/// One mistake in a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, as the rest of a sentence about the setting: `"3x" is not a number`.
    pub what: String,
    /// What would be right: `a whole number`.
    pub right: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    place: Option<String>,
    mistake: Mistake,
}

impl Mistakes {
    /// No mistakes yet in the settings that this command describes.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        // An argument can be shown only as part of a finished command (`clap` panics otherwise).
        let mut command = command.clone();
        command.build();
        let place = |arg: &clap::Arg| {
            let flag = arg
                .get_long()
                .map_or_else(|| arg.to_string(), |long| format!("--{long}"));
            match arg.get_env() {
                Some(variable) => format!("{flag} ({})", variable.to_string_lossy()),
                None => flag,
            }
        };
        let places = command
            .get_arguments()
            .map(|arg| (arg.get_id().to_string(), place(arg)));
        Self {
            program: command.get_name().to_owned(),
            places: places.collect(),
            lines: Vec::new(),
        }
    }

    /// Records a mistake in a setting, named as its field in the struct (`send_time_limit`). Only
    /// the first mistake of a setting is stored, since later ones mostly follow from it.
    pub fn add(&mut self, setting: &str, mistake: Mistake) {
        let place = self
            .places
            .get(setting)
            .map_or(setting, String::as_str)
            .to_owned();
        let new = self
            .lines
            .iter()
            .all(|line| line.place.as_ref() != Some(&place));
        if new {
            self.lines.push(Line {
                place: Some(place),
                mistake,
            });
        }
    }

    /// Records a mistake that belongs to no single setting: a sentence, and what would be right.
    pub(super) fn add_text(&mut self, what: String, right: String) {
        self.lines.push(Line {
            place: None,
            mistake: Mistake { what, right },
        });
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many mistakes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, count) = (&self.program, self.lines.len());
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        writeln!(
            f,
            "{program}: {count} {noun} in the settings, nothing was started"
        )?;
        for Line {
            place,
            mistake: Mistake { what, right },
        } in &self.lines
        {
            match place {
                Some(place) => writeln!(f, "  {place}: {what}; right: {right}")?,
                None => writeln!(f, "  {what}; right: {right}")?,
            }
        }
        writeln!(f, "{program} --help shows every setting")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_mistake_about_a_setting_is_left_out() {
        let mut mistakes = Mistakes::of(&Command::new("demo"));
        assert!(mistakes.is_empty());
        let mistake = |what: &str| Mistake {
            what: what.to_owned(),
            right: "7".to_owned(),
        };
        mistakes.add("port", mistake("is missing"));
        mistakes.add("port", mistake("is odd"));
        assert_eq!(mistakes.len(), 1);
        assert_eq!(
            mistakes.to_string(),
            "demo: 1 mistake in the settings, nothing was started\n  \
             port: is missing; right: 7\n\
             demo --help shows every setting\n"
        );
    }
}
