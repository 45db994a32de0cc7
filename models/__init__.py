"""From window to scores: learning, bundles and the runtime. Knows nothing of PLCs, assets or alarms."""
