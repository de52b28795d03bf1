//! The names themselves.

/// Names that differ by case only, some only where a language says so.
pub(super) const CASE_TWINS: [&str; 8] = [
    "Readme.TXT",
    "readme.txt",
    "README.txt",
    // The sharp s, and what it is in capitals; the dotted and the dotless i.
    "Stra\u{df}e.dxf",
    "STRASSE.dxf",
    "\u{130}stasyon.pdf",
    "istasyon.pdf",
    "\u{131}stasyon.pdf",
];

/// Words composed and decomposed, and compatibility forms.
pub(super) const NORMAL_FORMS: [&str; 8] = [
    "Br\u{fc}cke.txt",
    "Bru\u{308}cke.txt",
    "\u{212b}ngstrom.txt",
    "\u{c5}ngstrom.txt",
    "A\u{30a}ngstrom.txt",
    "\u{ac00}.txt",
    "\u{1100}\u{1161}.txt",
    "\u{fb01}nal.txt",
];

pub(super) const EMOJI: [&str; 10] = [
    "family \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}.png",
    "flag \u{1f1f8}\u{1f1ea}.png",
    "tone \u{1f44d}\u{1f3fd}.png",
    "keycap 1\u{fe0f}\u{20e3}.png",
    // Marks with nothing to stand on.
    "\u{301}.txt",
    "\u{301}\u{302}\u{303}leading marks.txt",
    "zalgo a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}.txt",
    "private \u{e000}\u{f8ff}.txt",
    "beyond \u{10ffff}\u{20000}.txt",
    "noncharacter \u{fffe}\u{ffff}.txt",
];

pub(super) const BLANKS: [&str; 14] = [
    ".",
    "..",
    "...",
    " ",
    "   ",
    " leading.txt",
    "trailing.txt ",
    "trailing dot.",
    "trailing dots...",
    ".hidden",
    "..two dots",
    "double  blank.txt",
    "\u{a0}no-break\u{a0}.txt",
    "\u{3000}ideographic blank.txt",
];

pub(super) const DEVICES: [&str; 10] = [
    "CON", "NUL", "PRN", "AUX", "aux.txt", "com1", "COM9.dwg", "lpt1.pdf", "CONIN$", "clock$",
];

pub(super) const SHELL: [&str; 22] = [
    "-rf",
    "--help",
    "-",
    "~",
    "~root",
    "~$Report.docx",
    "$(touch owned).txt",
    "`touch owned`.txt",
    "$HOME.txt",
    "a;b&c|d.txt",
    "it's.txt",
    "say \"hello\".txt",
    "!bang.txt",
    "#hash.txt",
    "glob*?[a-z].txt",
    "{a,b}.txt",
    "percent%20space.txt",
    "percent%2Fslash.txt",
    "percent%zz%.txt",
    "tilde~3Acolon.txt",
    "desktop.ini",
    ".Trash-1000",
];

/// As names are told apart: a blank, a tilde, eight digits of a GUID.
pub(super) const SUFFIXES: [&str; 7] = [
    "report.pdf",
    "report.pdf",
    "report ~0123abcd.pdf",
    "report ~0123ABCD.pdf",
    "report ~0123abc.pdf",
    "report ~0123abcd",
    " ~deadbeef",
];

pub(super) const ADDRESSES: [&str; 7] = [
    "https://example.com/a/b?c=d&e=f#g",
    "http://example.com",
    "file:///etc/passwd",
    "../../../etc/passwd",
    "C:\\Temp\\drawing.dwg",
    "pw:\\\\server:ds\\Documents\\D{00000000-0000-0000-0000-000000000000}",
    "shortcut.url",
];

/// Every control character at the start, in the middle and at the end of a name.
pub(super) fn controls() -> Vec<String> {
    let controls = (0..0x20).chain([0x7f, 0x80, 0x85, 0x9f]);
    let each = controls.filter_map(char::from_u32).flat_map(|control| {
        let code = u32::from(control);
        [
            format!("{control}start {code:02x}.txt"),
            format!("mid{control}dle {code:02x}.txt"),
            format!("end {code:02x}{control}"),
        ]
    });
    each.collect()
}

/// What Windows or Linux reserve, and what looks like it.
pub(super) fn reserved() -> Vec<String> {
    let marks = "/\\:*?\"<>|\u{ff0f}\u{2215}\u{2044}\u{ff3c}\u{ff1a}\u{a789}\u{ff0a}\u{ff1f}";
    let mut names: Vec<_> = marks
        .chars()
        .map(|mark| format!("mark{mark}inside.txt"))
        .collect();
    names.extend(
        [
            "/",
            "//",
            "\\",
            "/leading",
            "trailing/",
            "a/../b",
            "a/./b",
            "\\\\server\\share",
        ]
        .map(str::to_owned),
    );
    names
}

/// What control characters and slashes are shown as, and what quotes such symbols.
pub(super) fn symbols() -> Vec<String> {
    let symbols = (0x2400..=0x2421).filter_map(char::from_u32);
    let mut names: Vec<_> = symbols
        .map(|symbol| format!("symbol{symbol}{:x}.txt", u32::from(symbol)))
        .collect();
    names.extend(
        [
            "slash\u{ff0f}.txt",
            "quoted\u{201b}\u{ff0f}.txt",
            "quoted\u{201b}\u{2401}.txt",
            "twice\u{201b}\u{201b}\u{ff0f}.txt",
            "quote\u{201b}.txt",
            "\u{201b}",
            "end\u{201b}",
            "\u{ff0e}",
            "\u{ff0e}\u{ff0e}",
            "\u{201b}.",
        ]
        .map(str::to_owned),
    );
    names
}

/// What turns the writing around, or is not seen.
pub(super) fn invisible() -> Vec<String> {
    let marks = [
        0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e,
        0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0x00ad, 0xfeff, 0xe0001,
    ];
    let mut names = vec!["invoice\u{202e}fdp.exe".to_owned(), "\u{200b}".to_owned()];
    let each = marks.into_iter().filter_map(char::from_u32);
    names.extend(each.map(|mark| format!("mark{mark}{:x}.txt", u32::from(mark))));
    // The same to the eye as the one before.
    names.push("plain.txt".to_owned());
    names.push("pla\u{200b}in.txt".to_owned());
    names
}

/// Around the 255 bytes that Linux takes, and the 127 characters that ProjectWise takes.
pub(super) fn long() -> Vec<String> {
    let of_bytes = |fill: char, count: usize| fill.to_string().repeat(count - 4) + ".txt";
    let ideographs: String = "橋梁設計図面".chars().cycle().take(127).collect();
    let prefix = "p".repeat(290);
    vec![
        of_bytes('a', 254),
        of_bytes('b', 255),
        of_bytes('c', 256),
        of_bytes('d', 300),
        ideographs,
        "\u{1f309}".repeat(127),
        // Cut in the middle of a character at 255.
        "x".to_owned() + &"\u{20ac}".repeat(90) + ".pdf",
        // No stem to cut, only an extension.
        ".".to_owned() + &"e".repeat(260),
        format!("{prefix}-one.txt"),
        format!("{prefix}-two.txt"),
        format!("{prefix}-two.txt"),
    ]
}
