//! The simulator's manual says what the code does: every knob, every effect of a fault, every command.

use std::fs;

use pwfs::demo::Script;
use pwfs::demo::knobs::Knobs;

fn manual() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/simulator.md")).unwrap()
}

/// The row of each knob as the manual has it.
fn knob_rows() -> Vec<String> {
    let rows = Knobs::TABLE.iter().map(|knob| {
        let values = match knob.values {
            "" => "a switch".to_owned(),
            values => values
                .split('|')
                .map(|value| format!("`{}`", value.trim_matches('"')))
                .collect::<Vec<_>>()
                .join(" "),
        };
        let default = match knob.value(&Knobs::default()).as_str() {
            "" => "nothing".to_owned(),
            "false" => "off".to_owned(),
            value => format!("`{value}`"),
        };
        format!(
            "| `--{}` | {values} | {default} | {} | {} |",
            knob.name, knob.point, knob.help
        )
    });
    rows.collect()
}

#[test]
fn the_manual_lists_every_knob_as_it_is() {
    let manual = manual();
    let missing: Vec<_> = knob_rows()
        .into_iter()
        .filter(|row| !manual.contains(row.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/simulator.md lacks:\n{}",
        missing.join("\n")
    );
    let listed = manual.lines().filter(|line| line.starts_with("| `--")).count();
    // The table of worlds names a flag, too, in its head.
    assert_eq!(
        listed,
        Knobs::TABLE.len() + 1,
        "a knob in the manual is none any more"
    );
}

/// The variants of the enum, in snake case; one is called otherwise.
fn effects() -> Vec<String> {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/fault.rs")).unwrap();
    let body = source.split("pub enum Effect {").nth(1).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        name.starts_with(|c: char| c.is_ascii_uppercase())
            .then(|| name.trim_end_matches([',', ' ', '{']))
    });
    variants
        .map(|name| match name.split('(').next().unwrap() {
            "HangAfterAccept" => "hang".to_owned(),
            name => {
                let mut snake = String::new();
                for c in name.chars() {
                    if c.is_ascii_uppercase() && !snake.is_empty() {
                        snake.push('_');
                    }
                    snake.push(c.to_ascii_lowercase());
                }
                snake
            }
        })
        .collect()
}

#[test]
fn the_manual_lists_every_effect_of_a_fault() {
    let (manual, effects) = (manual(), effects());
    assert!(effects.len() > 30, "{effects:?}");
    let missing: Vec<_> = effects
        .iter()
        .filter(|name| !manual.contains(&format!("| `{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/simulator.md lacks the effects {missing:?}"
    );
}

#[test]
fn the_script_of_the_manual_is_one() {
    let manual = manual();
    let script = manual.split("```json\n").nth(1).unwrap();
    let script = script.split("```").next().unwrap();
    assert_eq!(Script::parse(script).unwrap().steps(), 4);
}

#[test]
fn the_manual_names_every_app_and_person() {
    let manual = manual();
    for account in pwfs::demo::ACCOUNTS {
        let row = format!("| `{}` |", account.email);
        assert!(manual.contains(&row) && manual.contains(account.role), "{row}");
    }
}
