//! Both examples run and print what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

type Fallible<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What an example prints; cargo has built it with this test.
fn printed(example: &str) -> Fallible<String> {
    let this = std::env::current_exe()?;
    let profile = this.parent().and_then(Path::parent).ok_or("tests lie in a folder of deps")?;
    let program: PathBuf = profile.join("examples").join(example);
    let output = Command::new(&program).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {}, {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_embedded_counter_survives_the_node_that_led() -> Fallible {
    let printed = printed("embed")?;
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    for (line, count) in lines.iter().zip(1..=3) {
        assert!(line.ends_with(&format!("counted to b\"{count}\"")), "{printed}");
    }
    assert!(lines[3].contains(" left, ") && lines[3].ends_with("reads 3"), "{printed}");
    Ok(())
}

#[test]
fn the_embedded_counter_takes_fewer_than_80_lines() {
    assert!(include_str!("embed.rs").lines().count() < 80);
}

#[test]
fn the_sum_driven_by_hand_survives_the_node_that_led_and_comes_back_with_it() -> Fallible {
    let printed = printed("bare")?;
    let ends = ["the sum is 3", "the sum is 7", "its own sum is 7"];
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), ends.len(), "{printed}");
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.ends_with(end), "{printed}");
    }
    Ok(())
}
