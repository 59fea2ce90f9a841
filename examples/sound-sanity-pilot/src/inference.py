"""Classifies queries by a vote among the most similar stored examples, and logs every batch."""

import json

import torch
import wandb
from omegaconf import DictConfig, OmegaConf
from torch.nn import functional

from src.preprocess import build_memory_and_queries

# A sanity run that answers fewer queries shows nothing.
FEWEST_QUERIES = 5


def vote_weights(similarities: torch.Tensor, inference_cfg: DictConfig) -> torch.Tensor:
    """The weight of each neighbour's vote; the weights of a query add up to one."""
    if inference_cfg.vote == "similarity":
        return torch.softmax(similarities / inference_cfg.temperature, dim=1)
    if inference_cfg.vote == "equal":
        return torch.full_like(similarities, 1 / similarities.shape[1])
    raise ValueError(f"inference.vote={inference_cfg.vote} is unknown")


def class_shares(
    memory: torch.Tensor,
    memory_labels: torch.Tensor,
    queries: torch.Tensor,
    inference_cfg: DictConfig,
) -> torch.Tensor:
    """The share of the vote that each class gets, one row for each query."""
    cosine = functional.normalize(queries, dim=1) @ functional.normalize(memory, dim=1).T
    similarities, nearest = cosine.topk(inference_cfg.neighbours, dim=1)
    weights = vote_weights(similarities, inference_cfg)
    shares = torch.zeros(len(queries), int(memory_labels.max()) + 1)
    return shares.scatter_add_(1, memory_labels[nearest], weights)


def report_sanity(answered: int, accuracy: float, mean_share: float) -> None:
    """Prints whether a sanity run shows that the experiment works, and the numbers behind it."""
    if answered < FEWEST_QUERIES:
        print("SANITY_VALIDATION: FAIL reason=too_few_queries")
    elif accuracy == 0.0:
        print("SANITY_VALIDATION: FAIL reason=nothing_recognised")
    elif not 0.0 < mean_share <= 1.0 + 1e-5:
        print("SANITY_VALIDATION: FAIL reason=invalid_shares")
    else:
        print("SANITY_VALIDATION: PASS")
    numbers = {"queries": answered, "accuracy": accuracy, "mean_share": mean_share}
    print(f"SANITY_VALIDATION_SUMMARY: {json.dumps(numbers)}")


def run_inference(cfg: DictConfig) -> float:
    """Answers the queries under a W&B run and returns the accuracy."""
    run = wandb.init(
        entity=cfg.wandb.entity,
        project=cfg.wandb.project,
        id=cfg.run.run_id,
        name=cfg.run.run_id,
        group=cfg.run.method,
        mode=cfg.wandb.mode,
        config=OmegaConf.to_container(cfg.run, resolve=True),
    )
    memory, memory_labels, queries, labels = build_memory_and_queries(cfg.run.dataset)
    limit = cfg.queries[cfg.mode]
    queries, labels = queries[:limit], labels[:limit]
    batch_size = cfg.run.inference.batch_size
    correct, shares_of_truth = [], []
    for batch, truth in zip(queries.split(batch_size), labels.split(batch_size), strict=True):
        shares = class_shares(memory, memory_labels, batch, cfg.run.inference)
        correct += (shares.argmax(dim=1) == truth).int().tolist()
        shares_of_truth += shares.gather(1, truth.unsqueeze(1)).squeeze(1).tolist()
        run.log(
            {
                "queries": len(correct),
                "running_accuracy": sum(correct) / len(correct),
                "running_share": sum(shares_of_truth) / len(shares_of_truth),
            }
        )
    accuracy = sum(correct) / len(correct)
    mean_share = sum(shares_of_truth) / len(shares_of_truth)
    run.summary["accuracy"] = accuracy
    run.summary["mean_share"] = mean_share
    run.summary["shares_of_truth"] = shares_of_truth
    run.finish()
    if cfg.mode == "sanity":
        report_sanity(len(correct), accuracy, mean_share)
    return accuracy
