"""Recipes of the control: the same encoder, trained with labels."""

from sslcourse.training.recipes.recipe import Recipe

# method -> profile -> recipe
RECIPES = {
    "supervised": {
        "laptop": Recipe(epochs=8, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01),
        "gpu": Recipe("resnet18", epochs=100, batch=128, lr=0.1, warmup=5),
    },
}  # fmt: skip
