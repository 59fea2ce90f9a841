"""``explint completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    eval "$(explint completion bash)"              in ~/.bashrc
    eval "$(explint completion zsh)"               in ~/.zshrc
    explint completion fish | source               in config.fish
    """
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"click has no completion for {shell}.", ctx)
    script = completer(ctx.find_root().command, {}, "explint", "_EXPLINT_COMPLETE")
    # Not script.source(): for bash that starts bash to ask for its version.
    click.echo(script.source_template % script.source_vars())
