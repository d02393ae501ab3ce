-- What Argo CD shows as the health of an AirflowEnvironment, an AirflowTenant or an AirflowEnvironmentClass.
-- docs/gitops.md says where it goes.

local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == name then
        return found
      end
    end
  end
  return nil
end

local function is_true(name)
  local found = condition(name)
  return found ~= nil and found.status == "True"
end

local ready = condition("Ready")
local message = ""
if ready ~= nil then
  message = ready.reason
  if ready.message ~= nil and ready.message ~= "" then
    message = message .. ": " .. ready.message
  end
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "being deleted; " .. message }
end
if is_true("Paused") then
  return { status = "Suspended", message = condition("Paused").message }
end
-- A status that speaks of an earlier generation is no answer to the latest wish.
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this yet" }
end
if ready.status == "True" then
  return { status = "Healthy", message = message }
end
if is_true("Stalled") then
  return { status = "Degraded", message = message }
end
return { status = "Progressing", message = message }
