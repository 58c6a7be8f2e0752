"""Prompts for every category of an image, generated from the image: AutoSAMUS's generator.

Published as the auto prompt generator of Lin et al. (arXiv 2309.06824). A category has a set of
task tokens. They attend to the decoder's output tokens, which needs no image; then they and the
image's cells attend to each other. The first of them become the prompt's tokens, and the cells the
embedding that the decoder sees.

Axis names used in this file:
    image, category   of the batch, and what is looked for
    answer            one category of one image, image-major
    token, cell       task and output tokens; cells of the embedding grid, row-major
    query, key        whichever attends, and is attended to
    channel, row, column
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .autosamus_config import PromptGeneratorOptions
from .normalization import LayerNorm2d


@dataclass(frozen=True, kw_only=True)
class GeneratedPrompts:
    """What the generator makes of a batch of images."""

    embedding: Float[Tensor, "answer channel row column"]
    """The image as the category's tokens changed it."""

    tokens: Float[Tensor, "answer emitted channel"]
    """In place of embedded clicks."""

    summary: Float[Tensor, "answer channel"]
    """Mean of all task tokens of the category, after they have seen the image."""


class PromptGenerator(nn.Module):
    """Task tokens, and the layers in which they meet output tokens and image."""

    def __init__(self, options: PromptGeneratorOptions) -> None:
        super().__init__()
        width = options.embedding_width
        self.num_emitted_tokens = options.num_emitted_tokens
        self.refines_output_tokens = options.refines_output_tokens
        num_sets, num_tokens = len(options.categories), options.num_task_tokens
        self.task_tokens = nn.Parameter(torch.randn(num_sets, num_tokens, width))
        depth = range(options.generator_depth)
        self.token_layers = nn.ModuleList(ExchangeLayer(options) for _ in depth)
        self.projection = nn.Linear(width, width)
        self.image_layers = nn.ModuleList(ExchangeLayer(options) for _ in depth)

    def forward(
        self,
        embedding: Float[Tensor, "image channel row column"],
        *,
        output_tokens: Float[Tensor, "token channel"],
    ) -> GeneratedPrompts:
        """Return the prompts of every category of every image.

        Args:
            embedding: Of the images.
            output_tokens: Those that the decoder puts before a prompt's tokens.
        """
        tokens = self._tokens_before_image(output_tokens).repeat(embedding.shape[0], 1, 1)
        cells = embedding.flatten(2).transpose(1, 2)
        cells = cells.repeat_interleave(self.task_tokens.shape[0], dim=0)
        for layer in self.image_layers:
            cells, tokens = layer(cells, tokens)
        return GeneratedPrompts(
            embedding=cells.transpose(1, 2).unflatten(2, embedding.shape[2:]),
            tokens=tokens[:, : self.num_emitted_tokens],
            summary=tokens[:, : self.task_tokens.shape[1]].mean(dim=1),
        )

    def _tokens_before_image(
        self, output_tokens: Float[Tensor, "token channel"]
    ) -> Float[Tensor, "category _ channel"]:
        outputs = output_tokens.expand(self.task_tokens.shape[0], -1, -1)
        tasks, refined = self.task_tokens, outputs
        for layer in self.token_layers:
            tasks, refined = layer(tasks, refined)
        tasks = self.projection(tasks) + self.task_tokens
        if self.refines_output_tokens:
            outputs = self.projection(refined) + outputs
        elif torch.is_grad_enabled():
            # What the released code leaves unused is in the graph, so that engines find it there.
            tasks = tasks + 0.0 * refined.sum()
        return torch.cat([tasks, outputs], dim=1)


class ExchangeLayer(nn.Module):
    """Two sets of vectors attend to each other at once, then each passes its own MLP."""

    def __init__(self, options: PromptGeneratorOptions) -> None:
        super().__init__()
        width, hidden = options.embedding_width, options.generator_mlp_width
        self.first_attention = QuietAttention(options)
        self.second_attention = QuietAttention(options)
        self.first_mlp = _mlp(width, hidden)
        self.second_mlp = _mlp(width, hidden)

    def forward(
        self,
        first: Float[Tensor, "answer query channel"],
        second: Float[Tensor, "answer key channel"],
    ) -> tuple[Float[Tensor, "answer query channel"], Float[Tensor, "answer key channel"]]:
        """Return both after the exchange."""
        from_second = self.first_attention(first, second)
        from_first = self.second_attention(second, first)
        first, second = first + from_second, second + from_first
        return first + self.first_mlp(first), second + self.second_mlp(second)


class QuietAttention(nn.Module):
    """Attention with normed inputs whose weights sum to less than one.

    As released (`softmax_one`), one is added to the sum of exponentials after the largest of them
    is made 1: the softmax divided by one plus its largest weight. So the weights sum to a half
    where one key has them all, and to nearly one where many keys weigh alike.
    """

    def __init__(self, options: PromptGeneratorOptions) -> None:
        super().__init__()
        width, num_heads = options.embedding_width, options.generator_heads
        inner = num_heads * options.generator_head_width
        self.num_heads = num_heads
        self.scale = options.generator_head_width**-0.5
        self.query_norm = nn.LayerNorm(width)
        self.key_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width)

    def forward(
        self,
        queries: Float[Tensor, "answer query channel"],
        keys: Float[Tensor, "answer key channel"],
    ) -> Float[Tensor, "answer query channel"]:
        """Return what each query gathers from the keys."""
        query = self._split(self.query(self.query_norm(queries)))
        key, value = self.key_value(self.key_norm(keys)).chunk(2, dim=-1)
        key, value = self._split(key), self._split(value)
        weights = (self.scale * query @ key.transpose(-2, -1)).softmax(dim=-1)
        weights = weights / (1.0 + weights.amax(dim=-1, keepdim=True))
        return self.output((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))

    def _split(
        self, vectors: Float[Tensor, "answer token _"]
    ) -> Float[Tensor, "answer head token head_channel"]:
        return vectors.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class DenseAdapter(nn.Sequential):
    """Four convolutions that make the dense prompt of the embedding."""

    def __init__(self, options: PromptGeneratorOptions) -> None:
        width, hidden = options.embedding_width, options.dense_adapter_width
        widths = (width, hidden, hidden, hidden, width)
        steps: list[nn.Module] = []
        for in_width, out_width in pairwise(widths):
            steps += [
                nn.Conv2d(in_width, out_width, kernel_size=3, padding=1, bias=False),
                LayerNorm2d(out_width),
                nn.GELU(),
            ]
        super().__init__(*steps)


class PresenceHead(nn.Module):
    """From a category's tokens, and what its mask shows, to the logit that it is in the image."""

    def __init__(self, options: PromptGeneratorOptions) -> None:
        super().__init__()
        width, num_categories = options.embedding_width, len(options.categories)
        self.mixing = nn.Sequential(
            nn.LayerNorm(3 * width), nn.Linear(3 * width, 2 * width), nn.GELU()
        )
        self.readout = nn.Linear(2 * width, num_categories)

    def forward(
        self,
        generated: GeneratedPrompts,
        *,
        embedding: Float[Tensor, "image channel row column"],
        masks: Float[Tensor, "answer 1 fine_row fine_column"],
    ) -> Float[Tensor, " answer"]:
        """Return the logits, each read out by its category's own weights.

        Args:
            generated: The tokens and cells of each category.
            embedding: The images as they were before.
            masks: Logits. They say where to look, and learn nothing from the judgement.
        """
        num_categories = self.readout.out_features
        before = embedding.repeat_interleave(num_categories, dim=0)
        cells = torch.cat([before, generated.embedding], dim=1)
        shares = functional.interpolate(masks.detach().sigmoid(), cells.shape[-2:], mode="area")
        # One cell more than the mask covers, so that next to nothing shows as little.
        shown = (shares * cells).sum(dim=(2, 3)) / (shares.sum(dim=(2, 3)) + 1.0)
        logits = self.readout(self.mixing(torch.cat([generated.summary, shown], dim=1)))
        by_image = logits.unflatten(0, (-1, num_categories))
        return by_image.diagonal(dim1=1, dim2=2).flatten()


def _mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)
    )
