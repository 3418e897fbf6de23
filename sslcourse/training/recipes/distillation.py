"""Recipes of chapter three, self-distillation and bags of visual words. gpu: published CIFAR-10 recipes where there are any."""

from sslcourse.training.recipes.recipe import Recipe

# method -> profile -> recipe
RECIPES = {
    # the teacher: rotnet by its own recipe
    "bownet": {
        "laptop": Recipe(
            epochs=8, batch=128, optimizer="adamw", lr=4e-3, weight_decay=0.01,
            arguments={"words": 512, "stage": "stage2", "sampled": 2000, "cutmix": 0.5, "min_scale": 0.3, "hue": 0.4},
            nesterov=False,
        ),
        "gpu": Recipe("resnet18", epochs=200, batch=128, lr=0.1, warmup=5, arguments={"stage": "stage3"}),
    },
    "obow": {
        "laptop": Recipe(
            epochs=8, batch=128, optimizer="adamw", lr=4e-3, weight_decay=0.01,
            arguments={
                "words": 512, "inv_delta": 10.0, "kappa": 5.0, "crop": 0.75, "patch": 0.5, "crop_scale": [0.2, 0.6], "hue": 0.4,
            },
            nesterov=False,
        ),
        # the authors' for ResNet-18 on a fifth of ImageNet, with a vocabulary and sizes for 32 px
        "gpu": Recipe(
            "resnet18", epochs=200, batch=128, lr=0.05, weight_decay=5e-4, warmup=0,
            arguments={"words": 2048, "inv_delta": 10.0, "kappa": 5.0, "crop": 0.75, "patch": 0.5},
            nesterov=False,
        ),
    },
}  # fmt: skip
