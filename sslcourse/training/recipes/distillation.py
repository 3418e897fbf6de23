"""Recipes of chapter three, self-distillation and bags of visual words. gpu: published CIFAR-10 recipes where there are any."""

from sslcourse.training.recipes.recipe import Recipe

# method -> profile -> recipe
RECIPES = {
    "dino": {
        "laptop": Recipe(
            epochs=10, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.04,
            arguments={
                "outputs": 1024, "hidden": 256, "bottleneck": 128, "final_teacher_temperature": 0.04,
                "momentum": 0.99, "n_local": 4, "hue": 0.4,
            },
        ),
    },
}  # fmt: skip
