//! The stable names of failures, for scripts: what `--json` says in `error.code`.
//!
//! A name is never given another meaning, and never taken away. `docs/troubleshooting.md` has a row for each; a test compares.

/// Declares [`Code`], its names and the list of all.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Which failure it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// A failure without a name of its own.
    Failure = "failure",
    /// The command line, without a name of its own.
    Usage = "usage",
    /// No server is reached, without a name of its own.
    Unreachable = "unreachable",
    /// Nothing can be created, without a name of its own.
    CannotCreate = "cannot-create",
    /// Later, without a name of its own.
    TryAgain = "try-again",
    /// Login or permission, without a name of its own.
    Login = "login",
    /// Configuration, without a name of its own.
    Config = "config",

    /// Nobody is signed in, or the login has ended.
    LoginRequired = "login.required",
    /// Something is missing to sign in with.
    LoginIncomplete = "login.incomplete",
    /// What was to be read for a login cannot be.
    LoginInput = "login.input",
    /// The port of the redirect URI is taken.
    LoginPortInUse = "login.port-in-use",
    /// The redirect URI cannot be used.
    LoginRedirectUri = "login.redirect-uri",
    /// What was pasted is no answer to this login.
    LoginForeignReply = "login.foreign-reply",
    /// Nobody came back from the browser.
    LoginTimedOut = "login.timed-out",
    /// The Client Secret (`invalid_client`) or the password is refused.
    LoginSecretRefused = "login.secret-refused",
    /// The credential store fails.
    LoginStore = "login.store",

    /// `access_denied`.
    OauthAccessDenied = "oauth.access-denied",
    /// `invalid_grant`, for the code of a login.
    OauthInvalidGrant = "oauth.invalid-grant",
    /// `invalid_request`.
    OauthInvalidRequest = "oauth.invalid-request",
    /// `invalid_scope`.
    OauthInvalidScope = "oauth.invalid-scope",
    /// `unauthorized_client`.
    OauthUnauthorizedClient = "oauth.unauthorized-client",
    /// `unsupported_grant_type`.
    OauthUnsupportedGrantType = "oauth.unsupported-grant-type",
    /// Another refusal of the identity provider.
    OauthRefused = "oauth.refused",
    /// The identity provider is out of order.
    OauthUnavailable = "oauth.unavailable",
    /// What answers is no identity provider.
    OauthMalformed = "oauth.malformed",

    /// A name cannot be resolved.
    NetworkName = "network.name",
    /// No connection, or a lost one.
    NetworkUnreachable = "network.unreachable",
    /// No TLS with the server.
    NetworkTls = "network.tls",
    /// A certificate that one side refuses.
    NetworkCertificate = "network.certificate",
    /// This machine has no certificates.
    NetworkNoCertificates = "network.no-certificates",
    /// The proxy.
    NetworkProxy = "network.proxy",
    /// A login that would leave unencrypted.
    NetworkPlainHttp = "network.plain-http",
    /// The network's settings.
    NetworkSettings = "network.settings",
    /// Nothing arrived in time.
    NetworkTimeout = "network.timeout",
    /// A redirect that is not followed.
    NetworkRedirect = "network.redirect",
    /// An answer beyond all measure.
    NetworkTooLarge = "network.too-large",
    /// An answer that breaks HTTP.
    NetworkDamaged = "network.damaged",

    /// errorId `LoginFailed`.
    WsgLoginFailed = "wsg.login-failed",
    /// errorId `SslRequired`.
    WsgSslRequired = "wsg.ssl-required",
    /// errorId `NotEnoughRights`.
    WsgNotEnoughRights = "wsg.not-enough-rights",
    /// errorId `DatasourceNotFound`.
    WsgDatasourceNotFound = "wsg.datasource-not-found",
    /// errorId `RepositoryNotFound`.
    WsgRepositoryNotFound = "wsg.repository-not-found",
    /// errorId `SchemaNotFound`.
    WsgSchemaNotFound = "wsg.schema-not-found",
    /// errorId `ClassNotFound`.
    WsgClassNotFound = "wsg.class-not-found",
    /// errorId `PropertyNotFound`.
    WsgPropertyNotFound = "wsg.property-not-found",
    /// errorId `LinkTypeNotFound`.
    WsgLinkTypeNotFound = "wsg.link-type-not-found",
    /// errorId `ObjectNotFound`.
    WsgObjectNotFound = "wsg.object-not-found",
    /// errorId `InstanceNotFound`.
    WsgInstanceNotFound = "wsg.instance-not-found",
    /// errorId `FileNotFound`.
    WsgFileNotFound = "wsg.file-not-found",
    /// errorId `NotSupported`.
    WsgNotSupported = "wsg.not-supported",
    /// errorId `NoServerLicense`.
    WsgNoServerLicense = "wsg.no-server-license",
    /// errorId `NoClientLicense`.
    WsgNoClientLicense = "wsg.no-client-license",
    /// errorId `TooManyBadLoginAttempts`.
    WsgTooManyBadLoginAttempts = "wsg.too-many-bad-login-attempts",
    /// 401 without an errorId.
    WsgUnauthorized = "wsg.unauthorized",
    /// A login page, or the way to one.
    WsgLoginPage = "wsg.login-page",
    /// 403 without an errorId.
    WsgForbidden = "wsg.forbidden",
    /// 403, because the token lacks a scope.
    WsgInsufficientScope = "wsg.insufficient-scope",
    /// 404 without an errorId.
    WsgNotFound = "wsg.not-found",
    /// A page instead of data.
    WsgPage = "wsg.page",
    /// A redirect instead of data.
    WsgRedirect = "wsg.redirect",
    /// 400 without an errorId.
    WsgBadRequest = "wsg.bad-request",
    /// 408 or 504, or bytes that stop coming.
    WsgTimeout = "wsg.timeout",
    /// 409 without an errorId.
    WsgConflict = "wsg.conflict",
    /// 429.
    WsgThrottled = "wsg.throttled",
    /// 5xx without an errorId.
    WsgServerError = "wsg.server-error",
    /// Any other status.
    WsgUnexpectedStatus = "wsg.unexpected-status",
    /// No gateway is at the address.
    WsgNotAGateway = "wsg.not-a-gateway",
    /// The gateway is too old.
    WsgTooOld = "wsg.too-old",
    /// The gateway's file store refuses.
    WsgFileStore = "wsg.file-store",
    /// An answer that contradicts itself or cannot be read.
    WsgMalformed = "wsg.malformed",
    /// A listing that cannot be proved complete.
    WsgIncomplete = "wsg.incomplete",
    /// The server has several datasources, and none is named.
    WsgSeveralDatasources = "wsg.several-datasources",
    /// The server shows no datasource.
    WsgNoDatasource = "wsg.no-datasource",
    /// The server that a link names has other datasources.
    WsgNoSuchDatasource = "wsg.no-such-datasource",
    /// A link names a server, and nobody knows its gateway.
    WsgNoGateway = "wsg.no-gateway",

    /// No platform goes with the identity provider.
    ItwinNoPlatform = "itwin.no-platform",
    /// The login is none of an iTwin app.
    ItwinNoApp = "itwin.no-app",
    /// code `UnknownClient`.
    ItwinUnknownClient = "itwin.unknown-client",
    /// `IDX10214`: the token is meant for others.
    ItwinWrongAudience = "itwin.wrong-audience",
    /// code `HeaderNotFound`.
    ItwinHeaderNotFound = "itwin.header-not-found",
    /// code `InsufficientPermissions`, or a 403.
    ItwinInsufficientPermissions = "itwin.insufficient-permissions",
    /// code `OperationNotFound`, or a 404.
    ItwinOperationNotFound = "itwin.operation-not-found",
    /// code `RateLimitExceeded`, or a 429.
    ItwinRateLimitExceeded = "itwin.rate-limit-exceeded",
    /// 401 without such a code.
    ItwinUnauthorized = "itwin.unauthorized",
    /// codes such as `iTwinNotFound`.
    ItwinNotFound = "itwin.not-found",
    /// 408 or 504.
    ItwinTimeout = "itwin.timeout",
    /// 5xx.
    ItwinServerError = "itwin.server-error",
    /// What answers is no platform, or not one this pwfs knows.
    ItwinMalformed = "itwin.malformed",

    /// The datasource URL cannot be understood.
    AddressInvalid = "address.invalid",
    /// A folder that was named is not there.
    FolderNotFound = "folder.not-found",
    /// A folder that was named is there more than once.
    FolderAmbiguous = "folder.ambiguous",
    /// The server does not tell which folder a document is in.
    FolderHomeless = "folder.homeless",
    /// Folders that cannot be chosen together, or not at all.
    FolderChoice = "folder.choice",

    /// `config.toml` cannot be read.
    ConfigUnreadable = "config.unreadable",
    /// `config.toml` says what cannot be.
    ConfigInvalid = "config.invalid",
    /// `config.toml` cannot be written.
    ConfigUnwritable = "config.unwritable",
    /// `config.toml` was changed meanwhile.
    ConfigChanged = "config.changed",
    /// The profile is not there.
    ConfigNoProfile = "config.no-profile",
    /// The profile names no datasource.
    ConfigNoDatasource = "config.no-datasource",
    /// There is no home directory.
    ConfigNoHome = "config.no-home",

    /// The kernel has no FUSE.
    MountNoDevice = "mount.no-device",
    /// FUSE is closed to this user.
    MountDeviceClosed = "mount.device-closed",
    /// There is no fusermount3.
    MountNoHelper = "mount.no-helper",
    /// `--allow-other` is not allowed.
    MountAllowOther = "mount.allow-other",
    /// FUSE refuses.
    MountRefused = "mount.refused",
    /// The directory does not exist.
    MountMissing = "mount.missing",
    /// Nothing can be mounted over what is there.
    MountOccupied = "mount.occupied",
    /// Something of ours is mounted there.
    MountAlreadyMounted = "mount.already-mounted",
    /// Nobody can look at the directory.
    MountInput = "mount.input",
    /// The path is in no mount of pwfs.
    MountNone = "mount.none",
    /// The mount does not tell where its catalog is.
    MountNoCatalog = "mount.no-catalog",
    /// The server does not tell the attributes of documents.
    AttributesNotTold = "attributes.not-told",
    /// A listing that was proved complete does not have it.
    ObjectAbsent = "object.absent",
    /// Nothing that is kept tells of it: its folder was not listed yet.
    ObjectNotListed = "object.not-listed",
    /// It was listed once, and is not any more.
    ObjectGone = "object.gone",
    /// It is known, and the mount does not show its folder.
    ObjectOutside = "object.outside",
    /// It has no file, and is not shown.
    ObjectHidden = "object.hidden",
    /// Nothing that is mounted shows the datasource of a link.
    LinkOtherDatasource = "link.other-datasource",
    /// There is no program that opens things.
    LinkNoOpener = "link.no-opener",
    /// The catalog or the journal cannot be read.
    CatalogUnreadable = "catalog.unreadable",
    /// The journal does not reach back to the cursor.
    EventsResync = "events.resync",
    /// The cache directory cannot be used.
    CacheUnusable = "cache.unusable",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_fit_for_scripts_and_there_once() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.text()).collect();
        for name in &names {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            assert!(name.chars().all(is_plain), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
