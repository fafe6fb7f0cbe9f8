"""Settings, in one place: defaults here, then mintage.toml in the home folder, then the environment.

Every setting has one sentence that says what it does; `mintage config show` prints them with value and origin.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_type_hints

import msgspec
from msgspec import Meta

from mintage.base.errors import MintageError

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one Mintage. The environment variable of `port` is MINTAGE_PORT, and so on."""

    home: Annotated[str, Meta(description="Folder that holds books, models and keys.")] = "~/.mintage"
    host: Annotated[str, Meta(description="Address the server listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port the server listens on; 0 picks a free one.")] = 8642
    public_url: Annotated[
        str, Meta(description="Address at which people reach this server behind a proxy; for links and cookies.")
    ] = ""
    trusted_proxies: Annotated[
        str, Meta(description="Networks of proxies in front, with commas: they may say whose request they pass on.")
    ] = ""
    master_key: Annotated[
        str, Meta(description="Where the master key is: file, env:NAME, or command:PROGRAM ARGUMENTS, which prints it.")
    ] = "file"
    sign_up: Annotated[bool, Meta(description="Whether strangers may become customers by themselves.")] = False
    sign_up_plan: Annotated[str, Meta(description="Plan that a customer gets who signs up; empty: none yet.")] = ""
    portal_plans: Annotated[
        str, Meta(description="Plans among which customers may choose by themselves, with commas; empty: none.")
    ] = ""
    currency: Annotated[str, Meta(description="ISO 4217 currency of the operator's books.")] = "USD"
    operator: Annotated[str, Meta(description="Name of the company that sells, as invoices show it.")] = "Mintage Demo"
    default_model: Annotated[str, Meta(description="Model that `make run` pulls and sells first.")] = "smollm2-135m"

    body_limit_bytes: Annotated[Positive, Meta(description="Largest request body accepted.")] = 8 * 1024 * 1024
    header_limit_bytes: Annotated[Positive, Meta(description="Largest request head accepted.")] = 32 * 1024
    read_timeout_s: Annotated[Positive, Meta(description="Seconds a client may take to send one whole request.")] = 30
    idle_timeout_s: Annotated[Positive, Meta(description="Seconds an idle keep-alive connection is kept.")] = 75
    write_timeout_s: Annotated[Positive, Meta(description="Seconds a client may take to read what waits for it.")] = 60
    connection_limit: Annotated[Positive, Meta(description="Most connections open at once.")] = 4096
    shutdown_grace_s: Annotated[Positive, Meta(description="Seconds that running answers get to end.")] = 30

    queue_limit: Annotated[Positive, Meta(description="Most requests that wait for a local engine.")] = 64
    engine_threads: Annotated[
        int, Meta(ge=0, description="Threads of a local engine; 0 is the number of cores less one.")
    ] = 0
    engine_parallel: Annotated[Positive, Meta(description="Answers that a local engine writes at once.")] = 8
    context_tokens: Annotated[Positive, Meta(description="Context window of each local answer, in tokens.")] = 2048
    compute_price_per_hour: Annotated[
        str, Meta(description="What an hour of this machine costs you, in the operator's currency.")
    ] = "0.05"
    gpu_price_per_hour: Annotated[
        str, Meta(description="What an hour of one GPU of this machine costs you, in the operator's currency.")
    ] = "2.00"
    watts_per_core: Annotated[int, Meta(ge=0, description="What a busy core draws, for estimates of energy.")] = 10
    watts_per_gpu: Annotated[int, Meta(ge=0, description="What a busy GPU draws, for estimates of energy.")] = 500

    upstream_timeout_s: Annotated[Positive, Meta(description="Seconds an upstream may be silent.")] = 120
    upstream_connect_timeout_s: Annotated[Positive, Meta(description="Seconds to reach an upstream.")] = 10
    upstream_connections: Annotated[Positive, Meta(description="Most connections kept per upstream.")] = 256

    hold_lease_s: Annotated[Positive, Meta(description="Seconds after which an abandoned hold is resolved.")] = 900
    commit_batch_limit: Annotated[Positive, Meta(description="Most records in one commit of the log.")] = 4096
    job_children: Annotated[Positive, Meta(description="Most heavy jobs at once, each in a process of its own.")] = 2
    job_tasks: Annotated[Positive, Meta(description="Most light jobs at once, inside the server.")] = 8
    job_keep_days: Annotated[Positive, Meta(description="Days after which an ended job is forgotten.")] = 30
    stripe_url: Annotated[str, Meta(description="Another address than Stripe's own; empty for that.")] = ""
    smtp_host: Annotated[str, Meta(description="Mail server for invoices and reminders; empty: none are sent.")] = ""
    smtp_port: Annotated[Port, Meta(description="Port of the mail server.")] = 587
    smtp_user: Annotated[
        str, Meta(description="User at the mail server; the password is the secret smtp/password. Empty: none.")
    ] = ""
    smtp_sender: Annotated[str, Meta(description="Address that invoices and reminders come from.")] = ""
    smtp_security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="starttls, tls from the first byte, or none.")
    ] = "starttls"

    otel_endpoint: Annotated[
        str, Meta(description="OpenTelemetry collector (OTLP over HTTP, http://host:4318) that gets spans; empty: off.")
    ] = ""
    otel_service_name: Annotated[str, Meta(description="Name of this server in traces.")] = "mintage"
    otel_sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="Share of requests without a traced parent that are traced.")
    ] = 1.0
    log_level: Annotated[str, Meta(description="debug, info, warning or error.")] = "info"

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser()


PREFIX: Final = "MINTAGE_"


class Origin(msgspec.Struct, frozen=True):
    """One row of `mintage config show`."""

    name: str
    value: object
    source: str  # "default", "mintage.toml" or the variable's name
    explanation: str


def _refuse(source: str, problem: str) -> MintageError:
    return MintageError(
        "invalid_settings", f"{source}: {problem}", "`mintage config show` lists every setting with its meaning."
    )


def _gather(environ: Mapping[str, str], home: str | None) -> tuple[dict[str, object], dict[str, str]]:
    """Raw values and where each came from."""
    names = Settings.__struct_fields__
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    folder = home or environ.get(PREFIX + "HOME") or str(Settings().home)
    file = Path(folder).expanduser() / "mintage.toml"
    if file.is_file():
        try:
            table = tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise _refuse(str(file), str(error)) from error
        if unknown := sorted(set(table) - set(names)):
            raise _refuse(str(file), f"unknown setting {unknown[0]!r}")
        values.update(table)
        sources.update(dict.fromkeys(table, "mintage.toml"))
    for name in names:
        if (text := environ.get(PREFIX + name.upper())) is not None:
            values[name] = text
            sources[name] = PREFIX + name.upper()
    values["home"] = folder
    if home:
        sources["home"] = "--home"
    return values, sources


def load_settings(environ: Mapping[str, str] | None = None, *, home: str | None = None) -> Settings:
    """Settings from the environment and the home's mintage.toml. Raises MintageError("invalid_settings")."""
    values, sources = _gather(os.environ if environ is None else environ, home)
    for name, value in values.items():  # one at a time, so that the error names the setting and its source
        try:
            msgspec.convert({name: value}, Settings, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            raise _refuse(sources.get(name, name), str(error)) from error
    return msgspec.convert(values, Settings, strict=False)


def explain_settings(environ: Mapping[str, str] | None = None, *, home: str | None = None) -> list[Origin]:
    """Every setting with its value, its source and its meaning."""
    environ = os.environ if environ is None else environ
    settings = load_settings(environ, home=home)
    _, sources = _gather(environ, home)
    hints = get_type_hints(Settings, include_extras=True)
    return [
        Origin(name, getattr(settings, name), sources.get(name, "default"), hints[name].__metadata__[-1].description)
        for name in Settings.__struct_fields__
    ]
