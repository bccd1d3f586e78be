# What the program is told: files, options in the environment, and on the command line those that may be repeated.
locals {
  folder = "/etc/bulla"
  texts = {
    "trusted_root.json"  = var.trusted_root
    "tag-policy.toml"    = var.tag_policy
    "verify-policy.toml" = var.verify_policy
  }
  approvers = { for number, key in var.approver_keys : "approver-${number}.pub" => key }
  recorders = { for number, key in var.recorder_keys : "recorder-${number}.pub" => key }
  files = {
    for name, text in merge(local.texts, local.approvers, local.recorders) : "${local.folder}/${name}" => text if text != null
  }

  given = {
    BULLA_LISTEN  = "0.0.0.0:5050"
    BULLA_METRICS = "0.0.0.0:9090"
    # A log of ours hands out what to believe; of any other that is said.
    BULLA_URL                  = var.trusted_root == null ? var.rekor_url : null
    BULLA_REKOR_URL            = var.rekor_url
    BULLA_TRUSTED_ROOT         = var.trusted_root == null ? null : "${local.folder}/trusted_root.json"
    BULLA_UPSTREAM             = var.upstream
    BULLA_REGISTRY             = length(var.registries) == 0 ? null : join(",", var.registries)
    BULLA_ONLY_NAMED           = tostring(var.only_named)
    BULLA_UPSTREAM_AS          = var.upstream_as
    BULLA_TAG_POLICY           = var.tag_policy == null ? null : "${local.folder}/tag-policy.toml"
    BULLA_VERIFY_POLICY        = var.verify_policy == null ? null : "${local.folder}/verify-policy.toml"
    BULLA_UNKNOWN              = var.unknown
    BULLA_MANIFEST_CACHE       = var.manifest_cache
    BULLA_NEW_TAGS_PER_ADDRESS = tostring(var.new_tags_per_address)
    BULLA_RECHECK              = var.recheck
    BULLA_TRUSTED_PROXY        = length(var.trusted_proxies) == 0 ? null : join(",", var.trusted_proxies)
  }
  environment = { for name, value in local.given : name => value if value != null }

  command = concat(
    ["proxy"],
    [for name in sort(keys(local.approvers)) : "--approver-key=${local.folder}/${name}"],
    [for name in sort(keys(local.recorders)) : "--recorder-key=${local.folder}/${name}"],
    [for identity in var.approver_identities : "--approver-identity=${identity}"],
  )
}
