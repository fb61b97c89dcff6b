"""The one layer that joins the stages.

    running      Runner: takes the stages that are left for a goal, one after the other
    steps        each stage as a step from one state of a cell to the next
    observing    what lock files, registry and gate say of a cell
    services     what the stages work with: registry, engine, key, caches, each opened when it is first used
    trusting     whose signatures count here
    deploying    what a policy says of an image, for whoever deploys it
    identifying  what images really are;  audits: their certificates;  doctor: what this host can do
    gpu_day      everything that only a GPU can show

It imports none of them: whoever asks one question does not load what answers the others.
"""
