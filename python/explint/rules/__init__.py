"""The rules of the Python layer; those of the Rust core stand in the same table."""

from __future__ import annotations

from explint.rules.caches import cache_dir_ignored, no_cache_dir
from explint.rules.calls import call_signature
from explint.rules.cli import child_process, evaluate_contract, train_contract
from explint.rules.columns import dropped_column
from explint.rules.composition import (
    bad_override,
    composition_error,
    no_config_name,
    no_entry_point,
    run_config_missing,
    unsafe_run_id,
)
from explint.rules.contradiction import contradiction
from explint.rules.env import (
    build_fails,
    invalid_pyproject,
    no_project_table,
    python_version,
    undeclared_dependency,
    unknown_distribution,
)
from explint.rules.evaluate import (
    called_from_main,
    config_location,
    no_api,
    path_outside_cwd,
    reads_local_file,
)
from explint.rules.figures import (
    fabricated_figure,
    figure_name,
    figure_outside_evaluate,
    figure_quality,
)
from explint.rules.holdouts import fit_before_split, shared_transform, unused_test_split
from explint.rules.hub import invalid_hub_id
from explint.rules.hydra import invalid_run_config, missing_section
from explint.rules.invented import random_data, synthetic_fallback
from explint.rules.keys import (
    key_in_wrong_section,
    struct_write,
    undefined_in_some_runs,
    undefined_key,
)
from explint.rules.labels import decode_ignore_index, label_leak, pad_token
from explint.rules.layers import eval_mode, no_gradient, stale_optimizer, untrained_head
from explint.rules.libraries import api_not_in_version, unsatisfiable
from explint.rules.loading import collate_mismatch, no_error_handling
from explint.rules.methods import config_ignored, same_method, unhandled_method
from explint.rules.metrics import (
    config_mismatch,
    disjoint_history_keys,
    metric_mismatch,
    run_id_mismatch,
    unserialisable,
)
from explint.rules.objective import (
    different_program,
    no_final_run,
    search_key_without_effect,
    shared_config,
    wrong_suggest_call,
)
from explint.rules.optuna import (
    default_outside_range,
    direction,
    invalid_search_space,
    never_run,
)
from explint.rules.outcome import (
    degenerate_test,
    json_lines,
    missing_artifact,
    no_derived_metric,
    no_significance_test,
    wrong_baseline,
)
from explint.rules.parameters import parameter_groups, parameter_overwritten
from explint.rules.registry import PythonRule
from explint.rules.results import (
    constant_comparison,
    expected_number,
    literal_metric,
    overwritten_output,
    wrong_average,
)
from explint.rules.splits import split_overlap
from explint.rules.tensors import device_mismatch, shape_mismatch
from explint.rules.terms import label_space, unused_loss_term
from explint.rules.tracking import (
    local_results,
    no_init,
    no_summary,
    not_disabled_in_trial,
    sparse_logging,
    step_goes_backwards,
    trial_logged,
)
from explint.rules.training import (
    amp_order,
    log_of_zero,
    no_zero_grad,
    scheduler,
    seed,
    softmax_before_loss,
)
from explint.rules.trial import (
    crashes,
    epochs,
    full_mode,
    no_mode,
    optuna_on,
    unbounded_batches,
    unknown_mode_accepted,
)
from explint.rules.trial import different_program as different_trial
from explint.rules.usage import (
    hard_coded_parameter,
    not_a_dict,
    number_read_as_string,
    unused_key,
)
from explint.rules.wandb import no_project
from explint.rules.workdir import changes_directory


def python_rules() -> tuple[PythonRule, ...]:
    """Every rule of the Python layer, sorted by code."""
    return (
        evaluate_contract,
        train_contract,
        child_process,
        call_signature,
        no_cache_dir,
        cache_dir_ignored,
        random_data,
        synthetic_fallback,
        dropped_column,
        invalid_hub_id,
        split_overlap,
        label_leak,
        shared_transform,
        no_error_handling,
        fit_before_split,
        unused_test_split,
        decode_ignore_index,
        collate_mismatch,
        pad_token,
        invalid_pyproject,
        no_project_table,
        build_fails,
        undeclared_dependency,
        unknown_distribution,
        python_version,
        api_not_in_version,
        unsatisfiable,
        no_api,
        reads_local_file,
        called_from_main,
        missing_artifact,
        no_significance_test,
        no_derived_metric,
        figure_name,
        figure_outside_evaluate,
        figure_quality,
        wrong_baseline,
        degenerate_test,
        fabricated_figure,
        json_lines,
        config_location,
        path_outside_cwd,
        no_entry_point,
        no_config_name,
        changes_directory,
        composition_error,
        undefined_key,
        undefined_in_some_runs,
        struct_write,
        bad_override,
        unsafe_run_id,
        number_read_as_string,
        unused_key,
        hard_coded_parameter,
        missing_section,
        invalid_run_config,
        not_a_dict,
        key_in_wrong_section,
        unhandled_method,
        config_ignored,
        same_method,
        untrained_head,
        stale_optimizer,
        no_gradient,
        unused_loss_term,
        no_zero_grad,
        eval_mode,
        softmax_before_loss,
        scheduler,
        seed,
        amp_order,
        device_mismatch,
        shape_mismatch,
        parameter_overwritten,
        parameter_groups,
        log_of_zero,
        label_space,
        never_run,
        search_key_without_effect,
        invalid_search_space,
        wrong_suggest_call,
        no_final_run,
        shared_config,
        default_outside_range,
        direction,
        different_program,
        literal_metric,
        expected_number,
        overwritten_output,
        wrong_average,
        constant_comparison,
        contradiction,
        run_config_missing,
        no_mode,
        unbounded_batches,
        epochs,
        optuna_on,
        crashes,
        full_mode,
        different_trial,
        unknown_mode_accepted,
        no_init,
        metric_mismatch,
        disjoint_history_keys,
        step_goes_backwards,
        trial_logged,
        not_disabled_in_trial,
        local_results,
        no_project,
        unserialisable,
        sparse_logging,
        no_summary,
        config_mismatch,
        run_id_mismatch,
    )
