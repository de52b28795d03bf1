//! Every point the fact sheet leaves open, as a knob: how this server settles it, and how to settle it otherwise.
//!
//! One table holds each knob's name, its words, its default and the number of the uncertain point (fact sheet 7) it
//! plays; the command line, the admin API and `docs/simulator.md` all read it. A knob may be turned while the
//! server runs: the next request sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

/// A value a knob can have, written and read as the command line does.
trait Setting: Sized {
    /// Reads the text; `None` where it is no value of this knob.
    fn read(text: &str) -> Option<Self>;
    /// Writes it so that [`Setting::read`] gives it back.
    fn text(&self) -> String;
}

impl Setting for bool {
    fn read(text: &str) -> Option<Self> {
        match text {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for u64 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

/// `150ms`, `5s`, `2m`, `1h`; a bare number means seconds.
impl Setting for Duration {
    fn read(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().ok()?;
        match &text[digits.len()..] {
            "ms" => Some(Self::from_millis(number)),
            "" | "s" => Some(Self::from_secs(number)),
            "m" => Some(Self::from_secs(number.checked_mul(60)?)),
            "h" => Some(Self::from_secs(number.checked_mul(3600)?)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        if self.subsec_millis() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }
}

/// Reads a time as knobs do: `150ms`, `5s`, `2m`, `1h`; a bare number means seconds.
pub(super) fn time_of(text: &str) -> Option<Duration> {
    Setting::read(text)
}

/// An enum whose variants are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Setting for $name {
            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn text(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)+
                }
            }
        }
    };
}

words! {
    /// The header that tells the server's version.
    VersionHeader {
        /// As the documentation has it.
        MasServer = "Mas-Server",
        /// As older gateways had it.
        WsgServer = "WsgServer",
        /// The standard one.
        Server = "Server",
    }
}

words! {
    /// Which document keeps its GUID when a version is made.
    VersionGuids {
        /// The active document keeps its GUID; the superseded content gets a new one.
        Keep = "keep",
        /// The superseded document keeps its GUID; the active one gets a new one.
        New = "new",
    }
}

words! {
    /// How `FileSize` is written.
    FileSizeAs {
        /// Some documents one way, some the other.
        Mixed = "mixed",
        /// A JSON number.
        Number = "number",
        /// A JSON string of digits.
        Text = "string",
        /// Not at all.
        Absent = "absent",
        /// Mixed, and one document (`LEC-GEN-RPT-0002.pdf` of the bridge project) has none.
        AbsentForOne = "absent-for-one",
        /// Mixed, and every seventh document states a length that is not its own.
        Wrong = "wrong",
    }
}

words! {
    /// How times are written.
    TimeFormat {
        /// Another way for each document.
        Mixed = "mixed",
        /// `2025-03-04T10:11:12Z`.
        Zulu = "zulu",
        /// `2025-03-04T10:11:12.345Z`.
        Fraction = "fraction",
        /// `2025-03-04T10:11:12.3450000Z`, as .NET writes them.
        SevenDigits = "seven-digits",
        /// `2025-03-04T12:11:12+02:00`.
        Offset = "offset",
        /// `2025-03-04T10:11:12`, meaning UTC.
        Bare = "bare",
    }
}

words! {
    /// How truths are written.
    BoolAs {
        /// `true`.
        Bool = "boolean",
        /// `"true"`.
        Text = "string",
        /// `"True"`, as .NET writes it.
        Capital = "capital",
        /// `1`.
        Number = "number",
    }
}

words! {
    /// What a filter that asks for folders without a parent answers.
    RootPredicate {
        /// `ParentGuid eq null` finds the root folders.
        Null = "null",
        /// It finds nothing: a comparison with null is never true.
        Nothing = "nothing",
        /// It is 400.
        Refused = "refused",
    }
}

words! {
    /// What `Navigation/NavNode` answers.
    NavNode {
        /// The roots, and children by path.
        Served = "served",
        /// 404 `SchemaNotFound`.
        Missing = "missing",
    }
}

words! {
    /// How the `ParentGuid` of a root folder is written.
    RootParent {
        /// Not at all.
        Absent = "absent",
        /// `null`.
        Null = "null",
        /// `""`.
        Empty = "empty",
        /// `"00000000-0000-0000-0000-000000000000"`.
        Zeros = "zeros",
    }
}

words! {
    /// Which document properties the datasource has.
    DocumentProperties {
        /// Only those without which there is no telling: Name, FileName, FileSize, `FileUpdateTime`, `UpdateTime`, `ParentGuid`, `IsLatest`.
        Few = "few",
        /// Those seen in working code.
        Seen = "seen",
        /// Also what the native columns suggest: `MimeType`, `StateId`, `State`, `WorkflowId`, `OriginalGuid`, `VersionSequence`, `ItemType`, `IsCheckedOut`.
        Many = "many",
    }
}

words! {
    /// What is done with the `SkipToken` header.
    SkipTokenMode {
        /// A client opts in with `SkipToken: 0`.
        OptIn = "opt-in",
        /// Ignored.
        Ignored = "ignored",
        /// Pages end with a token whether the client opted in or not.
        Always = "always",
    }
}

words! {
    /// The order of a listing without `$orderby`.
    Order {
        /// That of creation, the same every time.
        Stable = "stable",
        /// Another one for every query.
        Shuffled = "shuffled",
    }
}

words! {
    /// What may stand in `$orderby`.
    OrderBy {
        /// Every own property, and `$id`.
        Any = "any",
        /// Own properties, not `$id`.
        Properties = "properties",
        /// Only `Name`.
        Name = "name",
        /// Nothing: it is 400.
        Refused = "refused",
    }
}

words! {
    /// What `$count` does.
    Count {
        /// Nothing.
        Ignored = "ignored",
        /// Adds the number of all rows as `"count"`.
        Property = "property",
        /// It is 400.
        Refused = "refused",
    }
}

words! {
    /// What a `Range` header does.
    Ranges {
        /// 206 for any one range.
        Served = "served",
        /// Ignored: 200 with everything.
        Ignored = "ignored",
        /// Only ranges without an end, as a resumed download asks; others are ignored.
        OpenEnded = "open-ended",
        /// 400 for any.
        Refused = "refused",
    }
}

words! {
    /// What HEAD answers.
    Head {
        /// 405.
        Refused = "refused",
        /// The headers of GET.
        Allowed = "allowed",
    }
}

words! {
    /// The `ETag` of `$file`.
    FileEtag {
        /// A strong one, of length and time.
        Strong = "strong",
        /// A weak one.
        Weak = "weak",
        /// None.
        Absent = "absent",
        /// Another one with every answer.
        Changing = "changing",
    }
}

words! {
    /// What `$file` of a document without a file answers.
    PlaceholderFile {
        /// 404 `FileNotFound`.
        NotFound = "404",
        /// 200 and nothing.
        Empty = "empty",
        /// 500.
        Error = "500",
    }
}

words! {
    /// Where `$file` sends a client that said `Mas-Allow-Redirect: true`.
    Redirect {
        /// Nowhere: the server streams.
        Never = "never",
        /// By 307 to a signed URL at a second origin.
        Blob = "blob",
    }
}

words! {
    /// The answer where rights are missing.
    NoRights {
        /// 403 `NotEnoughRights`.
        Forbidden = "403",
        /// 401 `NotEnoughRights`.
        Unauthorized = "401",
        /// 404 `InstanceNotFound`, as if it did not exist.
        NotFound = "404",
    }
}

words! {
    /// What listing a folder answers whose rights were taken away.
    RevokedFolder {
        /// 403 `NotEnoughRights`.
        Forbidden = "403",
        /// 404 `InstanceNotFound`.
        NotFound = "404",
        /// 200 and no row.
        Empty = "empty",
    }
}

words! {
    /// The errors of the gateway.
    Errors {
        /// The JSON envelope.
        Json = "json",
        /// The XML of old servers.
        Xml = "xml",
        /// A page of the web server before it.
        Html = "html",
        /// JSON whose three fields are null.
        Nulls = "nulls",
    }
}

words! {
    /// How the gateway says that the login failed.
    AuthFailure {
        /// 401 `LoginFailed`.
        Unauthorized = "401",
        /// 302 to the sign-in page.
        Redirect = "302",
        /// 200 with the sign-in page.
        Page = "page",
        /// 404 `DatasourceNotFound`, as some servers answer an expired token.
        NotFound = "404",
    }
}

words! {
    /// What an app gets that the datasource's administrator has not allowed.
    AppAllowed {
        /// It is allowed.
        Yes = "yes",
        /// 403 `NotEnoughRights`.
        Forbidden = "403",
        /// 401 `LoginFailed`.
        Unauthorized = "401",
        /// 404 `DatasourceNotFound`.
        NotFound = "404",
        /// 302 to the sign-in page.
        Redirect = "302",
    }
}

words! {
    /// Spellings of `api.ancestor` that work.
    Ancestor {
        /// `api.ancestor=Project-{guid}` and `API.ancestor=PW_WSG.Project={guid}`.
        Both = "both",
        /// The first only; the second is ignored.
        Dash = "dash",
        /// The second only; the first is ignored.
        Equals = "equals",
        /// Both are ignored: everything is listed.
        Ignored = "ignored",
        /// Both are 400.
        Refused = "refused",
    }
}

words! {
    /// What a listing's folder row says of changes below it.
    FolderTags {
        /// Nothing: eTag and `UpdateTime` are the folder's own.
        Own = "own",
        /// Both move when a child is added, renamed, changed or taken away.
        Children = "children",
    }
}

words! {
    /// The envelope of work-area connections.
    WorkAreas {
        /// `items`, in camel case.
        Items = "items",
        /// `value`, in camel case.
        Value = "value",
        /// `connections`, with capital first letters.
        Connections = "connections",
        /// 403 `InsufficientPermissions`: third parties may not ask.
        Refused = "refused",
    }
}

words! {
    /// What happens to a refresh token that is used.
    Rotation {
        /// A new one is given and the old one ends; the old one used again ends the whole family.
        Rotate = "rotate",
        /// It stays good and is given again.
        Keep = "keep",
        /// It stays good and none is given.
        Silent = "silent",
    }
}

words! {
    /// What asking for `offline_access` gives.
    OfflineAccess {
        /// A refresh token.
        Granted = "granted",
        /// `invalid_scope`.
        Refused = "refused",
        /// A login without a refresh token.
        Ignored = "ignored",
    }
}

words! {
    /// How redirect URIs are compared.
    RedirectMatch {
        /// Character for character.
        Exact = "exact",
        /// A loopback address may have any port (RFC 8252 7.3).
        LoopbackPort = "loopback-port",
    }
}

words! {
    /// The error of a scope that is not granted.
    ScopeError {
        /// `invalid_scope`.
        InvalidScope = "invalid_scope",
        /// `unauthorized_client`, as an older IMS.
        UnauthorizedClient = "unauthorized_client",
    }
}

words! {
    /// Where the endpoints are that only the discovery document tells.
    ImsPaths {
        /// Under `/connect`, as `IdentityServer4` has them.
        Connect = "connect",
        /// Where `PingFederate` has them.
        Ping = "ping",
    }
}

words! {
    /// What the discovery document says.
    Discovery {
        /// Everything.
        Full = "full",
        /// Issuer, authorize, token and keys only.
        Minimal = "minimal",
        /// 404.
        Missing = "missing",
    }
}

words! {
    /// What `Retry-After` is on the gateway's 429 and 503.
    RetryAfter {
        /// Whole seconds.
        Seconds = "seconds",
        /// An HTTP date.
        Date = "date",
        /// Not sent.
        Absent = "absent",
    }
}

/// The value is none of the knob's, or there is no such knob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// No knob has this name.
    #[error("there is no knob {0:?}")]
    Unknown(String),
    /// The knob does not take this.
    #[error("{name} takes {values}, not {text:?}")]
    Value {
        /// The knob.
        name: &'static str,
        /// What it takes.
        values: &'static str,
        /// What it was given.
        text: String,
    },
}

/// One knob: how it is named, what it takes, and which uncertain point it plays.
pub struct Knob {
    /// Its name, on the command line behind `--`.
    pub name: &'static str,
    /// The numbers of the uncertain points (fact sheet 7) or the section it comes from.
    pub point: &'static str,
    /// What it takes, for people; empty for a switch, which takes nothing.
    pub values: &'static str,
    /// One line of help.
    pub help: &'static str,
    read: fn(&mut Knobs, &str) -> bool,
    text: fn(&Knobs) -> String,
}

impl fmt::Debug for Knob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Knob {
    /// True for a knob that is on or off.
    pub fn is_switch(&self) -> bool {
        self.values.is_empty()
    }

    /// What it stands at.
    pub fn value(&self, knobs: &Knobs) -> String {
        (self.text)(knobs)
    }
}

/// Declares the struct, its defaults and the table in one place; behind `if` is what a value must fulfil besides
/// being of the type.
macro_rules! knobs {
    ($($field:ident: $type:ty = $default:expr, $name:literal, $point:literal, $values:literal, $help:literal $(, if $fits:expr)?;)+) => {
        #[allow(clippy::doc_markdown, reason = "the words are those of the command line's help")]
        /// How the server behaves where real ones may differ; the defaults are the likeliest, or the most trying.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Knobs {
            $(#[doc = $help] pub $field: $type,)+
        }

        impl Default for Knobs {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Knobs {
            /// Every knob, in the order of the documentation.
            pub const TABLE: &[Knob] = &[$(Knob {
                name: $name,
                point: $point,
                values: $values,
                help: $help,
                read: |knobs, text| match <$type>::read(text) {
                    $(Some(value) if !holds(&value, $fits) => false,)?
                    Some(value) => {
                        knobs.$field = value;
                        true
                    }
                    None => false,
                },
                text: |knobs| knobs.$field.text(),
            },)+];
        }
    };
}

fn holds<T>(value: &T, fits: impl Fn(&T) -> bool) -> bool {
    fits(value)
}

/// True for words that are ways to log in, at least one.
fn are_logins(text: &str) -> bool {
    let mut words = text.split_whitespace().peekable();
    words.peek().is_some() && words.all(|word| matches!(word, "bearer" | "basic" | "windows" | "token"))
}

#[rustfmt::skip]
knobs! {
    // Signing in.
    required_scope: String = "projectwise:read".to_owned(), "required-scope", "1", "SCOPE", "The scope a token needs for the gateway; empty: any will do";
    known_scopes: String = "projectwise:read itwin-platform offline_access openid profile email organization".to_owned(), "known-scopes", "1", "\"SCOPE …\"", "The scopes apps may ask for; others are invalid_scope";
    app_allowed: AppAllowed = AppAllowed::Yes, "app-allowed", "2", "yes|403|401|404|302", "Whether the datasource allows the app, and how it refuses";
    audience: String = "bentley-api-management itwinjs-services".to_owned(), "audience", "3", "\"AUD …\"", "The audiences written into access tokens";
    required_audience: String = String::new(), "required-audience", "3", "AUD", "The audience the gateway wants in a token; empty: any will do";
    token_lifetime: Duration = Duration::from_secs(3600), "token-lifetime", "15", "TIME", "How long access tokens live";
    refresh_lifetime: Duration = Duration::from_secs(30 * 86_400), "refresh-lifetime", "15", "TIME", "How long refresh tokens live";
    rotation: Rotation = Rotation::Rotate, "rotation", "15", "rotate|keep|silent", "What happens to a refresh token that is used";
    offline_access: OfflineAccess = OfflineAccess::Granted, "offline-access", "15", "granted|refused|ignored", "What asking for offline_access gives";
    redirect_match: RedirectMatch = RedirectMatch::Exact, "redirect-match", "15", "exact|loopback-port", "How redirect URIs are compared";
    discovery: Discovery = Discovery::Full, "discovery", "15", "full|minimal|missing", "What the discovery document says";
    scope_error: ScopeError = ScopeError::InvalidScope, "scope-error", "3", "invalid_scope|unauthorized_client", "The error of a scope that is not granted";
    ims_paths: ImsPaths = ImsPaths::Connect, "ims-paths", "15", "connect|ping", "Where keys, userinfo, revocation, introspection and end session are";
    native_needs_loopback: bool = false, "native-needs-loopback", "15", "", "A Native app may be sent back to this machine only, not to an https address";
    web_needs_https: bool = false, "web-needs-https", "15", "", "A Web App may not be sent back to http://localhost";
    auth: String = "bearer basic windows token".to_owned(), "auth", "3", "\"SCHEME …\"", "The logins the gateway takes: bearer, basic, windows, token", if |words: &String| are_logins(words);
    auth_failure: AuthFailure = AuthFailure::Unauthorized, "auth-failure", "11", "401|302|page|404", "How the gateway says that a login failed";
    private_repositories: bool = false, "private-repositories", "1.1", "", "The list of datasources needs a login, as on hosted servers";
    bad_logins: u64 = 5, "bad-logins", "1.8", "COUNT", "Wrong passwords in a row before TooManyBadLoginAttempts; 0: never";

    // Versions and shapes.
    api: u64 = 8, "api", "19", "0…8", "The newest Web API, 2.N", if |newest: &u64| *newest <= 8;
    service_version: bool = false, "sv", "19", "", "Serve /sv1.1 in place of /v2.N";
    version_header: VersionHeader = VersionHeader::MasServer, "version-header", "1.1", "Mas-Server|WsgServer|Server", "The header that tells the server's version";
    errors: Errors = Errors::Json, "errors", "11", "json|xml|html|nulls", "How errors are written";
    no_rights: NoRights = NoRights::Forbidden, "no-rights", "11", "403|401|404", "What an object without rights answers";
    revoked_folder: RevokedFolder = RevokedFolder::Forbidden, "revoked-folder", "23", "403|404|empty", "What listing a folder without rights answers";
    filesize_as: FileSizeAs = FileSizeAs::Mixed, "filesize-as", "8", "mixed|number|string|absent|absent-for-one|wrong", "How FileSize is written";
    time_format: TimeFormat = TimeFormat::Mixed, "time-format", "8", "mixed|zulu|fraction|seven-digits|offset|bare", "How times are written";
    bool_as: BoolAs = BoolAs::Bool, "bool-as", "8", "boolean|string|capital|number", "How truths are written";
    properties: DocumentProperties = DocumentProperties::Seen, "properties", "5", "few|seen|many", "Which document properties the datasource has";
    name_case: bool = false, "ignore-case", "16", "", "Names in filters are compared without case";
    version_guids: VersionGuids = VersionGuids::Keep, "version-guids", "22", "keep|new", "Which document keeps its GUID when a version is made";
    folder_tags: FolderTags = FolderTags::Own, "folder-tags", "17", "own|children", "Whether a folder's eTag and UpdateTime tell of its children";

    // Queries and pages.
    root_predicate: RootPredicate = RootPredicate::Null, "root-predicate", "4", "null|nothing|refused", "What ParentGuid eq null finds";
    nav_node: NavNode = NavNode::Served, "nav-node", "4", "served|missing", "What Navigation/NavNode answers";
    root_parent: RootParent = RootParent::Absent, "root-parent", "4", "absent|null|empty|zeros", "How the ParentGuid of a root is written";
    page_size: u64 = 100, "page-size", "6", "1…", "Rows of a page where no $top asks", if |rows: &u64| *rows >= 1;
    max_top: u64 = 0, "max-top", "6", "ROWS", "The most rows $top can ask for, more is cut to it; 0: as page-size";
    skip_token: SkipTokenMode = SkipTokenMode::OptIn, "skiptoken", "6", "opt-in|ignored|always", "What the SkipToken header does";
    skip_token_lifetime: Duration = Duration::from_secs(600), "skiptoken-lifetime", "6", "TIME", "How long a SkipToken is good";
    count: Count = Count::Ignored, "count", "6", "ignored|property|refused", "What $count does";
    order: Order = Order::Stable, "order", "7", "stable|shuffled", "The order of rows without $orderby";
    order_by: OrderBy = OrderBy::Any, "orderby", "7", "any|properties|name|refused", "What $orderby may name";
    ancestor: Ancestor = Ancestor::Both, "ancestor", "12", "both|dash|equals|ignored|refused", "Which spelling of api.ancestor works";
    no_304: bool = false, "no-304", "17", "", "If-None-Match is ignored and listings have no ETag";
    compress: bool = false, "compress", "9", "", "Answers are gzipped for clients that accept it, files included";

    // Files.
    ranges: Ranges = Ranges::Served, "ranges", "9", "served|ignored|open-ended|refused", "What a Range header does";
    head: Head = Head::Refused, "head", "9", "refused|allowed", "What HEAD answers";
    chunked: bool = false, "chunked", "9", "", "Files have no Content-Length";
    file_etag: FileEtag = FileEtag::Strong, "file-etag", "9", "strong|weak|absent|changing", "The ETag of $file";
    placeholder_file: PlaceholderFile = PlaceholderFile::NotFound, "placeholder-file", "9", "404|empty|500", "What $file of a document without a file answers";
    redirect: Redirect = Redirect::Never, "redirect", "10", "never|blob", "Where $file sends a client that takes redirects";
    blob_lifetime: Duration = Duration::from_secs(3600), "blob-lifetime", "10, 14", "TIME", "How long a signed URL is good";

    // The iTwin Platform.
    work_areas: WorkAreas = WorkAreas::Items, "work-areas", "13", "items|value|connections|refused", "The envelope of work-area connections";
    platform_scope: String = String::new(), "platform-scope", "13", "SCOPE", "The scope api.bentley.com wants; empty: any will do";
    work_area_page: u64 = 1, "work-area-page", "13", "1…", "Work-area connections of a page", if |rows: &u64| *rows >= 1;
    platform_unknown_client: bool = false, "platform-unknown-client", "2.1", "", "No app is registered for api.bentley.com";
    storage_top: u64 = 0, "storage-top", "14", "ROWS", "The most $top can ask of storage, more is 422; 0: no limit";
    storage_etag: bool = false, "storage-etag", "14", "", "Signed URLs of storage answer with an ETag";
    platform_rate: u64 = 0, "platform-rate", "2.1", "COUNT", "Platform requests a minute before 429; 0: no limit";

    // Conditions.
    latency: Duration = Duration::ZERO, "latency", "—", "TIME", "Waited before every answer";
    bandwidth: u64 = 0, "bandwidth", "—", "BYTES", "Bytes a second of one connection; 0: no limit";
    concurrency: u64 = 0, "concurrency", "11", "COUNT", "Gateway requests at once before 503; 0: no limit";
    rate: u64 = 0, "rate", "11", "COUNT", "Gateway requests a minute before 429; 0: no limit";
    retry_after: RetryAfter = RetryAfter::Seconds, "retry-after", "11", "seconds|date|absent", "What Retry-After says on the gateway's 429 and 503";
}

impl Knobs {
    /// Turns one knob.
    ///
    /// # Errors
    ///
    /// There is no such knob, or it does not take this; nothing changes then.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), KnobError> {
        let knob = Self::TABLE.iter().find(|knob| knob.name == name);
        let knob = knob.ok_or_else(|| KnobError::Unknown(name.to_owned()))?;
        if (knob.read)(self, text) {
            return Ok(());
        }
        Err(KnobError::Value {
            name: knob.name,
            values: if knob.is_switch() {
                "true or false"
            } else {
                knob.values
            },
            text: text.to_owned(),
        })
    }
}

/// The knobs of a running server, which may be turned.
pub(super) struct Panel(RwLock<Arc<Knobs>>);

impl Panel {
    pub(super) fn new(knobs: Knobs) -> Self {
        Self(RwLock::new(Arc::new(knobs)))
    }

    /// What they stand at now; a request reads this once and holds to it.
    pub(super) fn now(&self) -> Arc<Knobs> {
        Arc::clone(&self.0.read())
    }

    /// Turns them together.
    pub(super) fn turn<E>(&self, change: impl FnOnce(&mut Knobs) -> Result<(), E>) -> Result<(), E> {
        let mut place = self.0.write();
        let mut knobs = Knobs::clone(&place);
        change(&mut knobs)?;
        *place = Arc::new(knobs);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_takes_what_it_says_and_gives_it_back() {
        for knob in Knobs::TABLE {
            let mut knobs = Knobs::default();
            let words: Vec<&str> = match knob.values {
                "" => vec!["true", "false"],
                values if values.contains('|') => values.split('|').collect(),
                "TIME" => vec!["150ms", "90s"],
                "COUNT" | "ROWS" | "BYTES" | "0…8" | "1…" => vec!["7"],
                "\"SCHEME …\"" => vec!["bearer", "token basic"],
                _ => vec!["some words"],
            };
            for word in words {
                knobs.set(knob.name, word).unwrap();
                assert_eq!(knob.value(&knobs), word, "{knob:?}");
            }
        }
    }

    #[test]
    fn what_a_knob_does_not_declare_is_refused() {
        for (name, text) in [
            ("version-header", "X-Server"),
            ("version-header", "mas server"),
            ("auth", ""),
            ("auth", "  "),
            ("auth", "bearer saml"),
            ("auth", "bearer,basic"),
            ("api", "9"),
            ("api", "-1"),
            ("page-size", "0"),
            ("page-size", "many"),
            ("work-area-page", "0"),
            ("sv", "maybe"),
            ("latency", "soon"),
            ("rate", "1.5"),
        ] {
            let mut knobs = Knobs::default();
            let error = knobs.set(name, text).unwrap_err();
            assert!(error.to_string().ends_with(&format!(", not {text:?}")), "{error}");
            assert_eq!(knobs, Knobs::default(), "{name} {text:?}");
        }
        // Words are checked by themselves: every knob that has some refuses another.
        for knob in Knobs::TABLE.iter().filter(|knob| knob.values.contains('|')) {
            assert!(Knobs::default().set(knob.name, "another").is_err(), "{knob:?}");
        }
    }

    #[test]
    fn a_default_is_one_of_the_words() {
        for knob in Knobs::TABLE {
            let text = knob.value(&Knobs::default());
            let mut knobs = Knobs::default();
            knobs.set(knob.name, &text).unwrap();
            assert_eq!(knobs, Knobs::default());
        }
    }

    #[test]
    fn a_wrong_word_changes_nothing_and_says_what_is_right() {
        let mut knobs = Knobs::default();
        let error = knobs.set("order", "upwards").unwrap_err();
        assert_eq!(error.to_string(), "order takes stable|shuffled, not \"upwards\"");
        assert_eq!(
            knobs.set("nothing", "x").unwrap_err(),
            KnobError::Unknown("nothing".to_owned())
        );
        assert_eq!(knobs, Knobs::default());
    }
}
