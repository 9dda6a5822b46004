//! The fenced blocks of a page in Markdown.

/// A fenced block.
pub(crate) struct Block {
    pub(crate) text: String,
}

/// A command of a `console` block, and what it prints to standard output, as far as the page shows it.
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) prints: Vec<String>,
}

impl Command {
    /// A command, whatever it prints.
    pub(crate) fn new(line: &str) -> Self {
        Self { line: line.to_owned(), prints: Vec::new() }
    }
}

/// The blocks in this language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if fence == language {
                found.push(Block { text: text.join("\n") });
            }
        }
    }
    assert!(!found.is_empty(), "the page has no block in {language}");
    found
}

impl Block {
    /// The commands, which begin with `$ `, without their comments.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => {
                    let command = command.split("  #").next().unwrap_or_default().trim_end();
                    commands.push(Command::new(command));
                }
                (None, Some(command)) => command.prints.push(line.to_owned()),
                (None, None) => panic!("a block begins with output: {line}"),
            }
        }
        commands
    }
}
